// Sizes to places. Columns, lanes and lines were decided at export; here the sizes of what is open
// and closed are added up. x runs along the flow and y across it; `Figure` swaps them for "down".

const SMALL = 10, SIDE = 8, HEAD = 19, FOOT = 8, CHANNEL = 25, LINE_AT = 15, INDENT = 10, APART = 9, BELOW = 15;
const LEAD = 5, ARROW = 9, TRACK = 6, LANE_GAP = 9, BESIDE = 5, ROW_ENDS = 21, TITLE_ENDS = 34;
const IDENTITY = "identity", IDENTITY_ROOM = 48;
const SKIP = 1, IS_IDENTITY = 2;

class Layout {
  constructor(root, isOpen, room, down) {
    this.isOpen = isOpen;
    this.down = down;
    this.root = this.frame({ k: "", F: root, r: [], g: [] }, room, true);
  }

  place(item, room) {
    if (item.F && this.isOpen(item)) return this.frame(item, room, false);
    const along = this.down ? item.h : item.w, across = this.down ? item.w : item.h;
    const base = !item.s ? across / 2 : this.down ? item.s / 2 : 10;
    const made = { item, w: along, h: across, base }, g = item.g || [];
    if (g.length < 2) return made;
    // each value leaves at its own place, or two would look like one
    const step = Math.min(APART, across / (g.length + 1));
    return { ...made, ins: new Map(), outs: new Map(g.map((net, i) => [net, base + step * i])) };
  }

  frame(item, room, isRoot) {
    const F = item.F, inner = isRoot ? room : room - 2 * SIDE;
    const itemRoom = inner - ROW_ENDS - (F.i.length > 1 ? 2 * INDENT : 0);
    const placed = F.i.map(child => this.place(child, itemRoom));
    const cells = F.a.map((part, k) => new Cell(part, placed, k === F.a.length - 1, this.down));
    return new Stack(item, breakRows(cells, inner), isRoot, this.down).done();
  }
}

function portIn(p, net) {
  return p.ins && p.ins.has(net) ? p.ins.get(net) : p.base;
}
function portOut(p, net) {
  return p.outs && p.outs.has(net) ? p.outs.get(net) : p.base;
}
/** Heights that were added up in different orders differ in their last digits. */
function same(a, b) {
  return Math.abs(a - b) < 0.01;
}
function isStepped(p) {
  return Boolean(p.kids) && [...p.outs.values()].some(y => !same(y, p.base));
}
function isStraight(p) {
  return !p.outs || [...p.outs.values(), ...p.ins.values()].every(y => same(y, p.base));
}

/** The shape that is written on the line of a value, with the text's width. */
function shapeOf(p, net) {
  const own = (p.item.S || [])[(p.item.g || []).indexOf(net)];
  if (!p.kids) return p.item.sh ? own || [p.item.sh, p.item.sw] : null;
  const kid = p.kids.find(one => (one.p.item.g || []).includes(net));
  return kid ? shapeOf(kid.p, net) : null;
}

/** Break a frame's parts into the fewest rows, as even as can be; a stepped part is alone. */
function breakRows(cells, room) {
  const total = cells.reduce((sum, cell) => sum + cell.w, 0);
  if (!cells.length || (total <= room && !cells.some(cell => cell.tall))) return [cells];
  room -= 2 * INDENT;
  const best = [[0, 0, 0]];
  for (let end = 1; end <= cells.length; end++) {
    let used = 0, tall = false, chosen = null;
    for (let start = end - 1; start >= 0; start--) {
      used += cells[start].w;
      tall = tall || cells[start].tall;
      if (end - start > 1 && (used > room || tall)) break;
      const rows = best[start][0] + 1;
      const uneven = best[start][1] + Math.max(room - used, 0) ** 2;
      if (!chosen || rows < chosen[0] || (rows === chosen[0] && uneven < chosen[1])) {
        chosen = [rows, uneven, start];
      }
    }
    best.push(chosen);
  }
  const rows = [];
  for (let end = cells.length; end; end = best[end][2]) rows.unshift(cells.slice(best[end][2], end));
  return rows;
}

/** What of a part's plan is looked up again and again, made when it is first laid out. */
function lookedUp(part) {
  if (part.known) return part.known;
  const lists = () => part.at.map(() => []);
  const known = { into: lists(), from: lists(), inLane: new Map(), inColumn: new Map() };
  for (const edge of part.e) {
    known.from[edge[1]].push(edge);
    known.into[edge[2]].push(edge);
  }
  part.at.forEach(([column, lane], i) => {
    known.inLane.set(lane, (known.inLane.get(lane) || 0) + 1);
    if (!known.inColumn.has(column)) known.inColumn.set(column, []);
    known.inColumn.get(column).push(i);
  });
  part.known = known;
  return known;
}

/** One part of a frame: a layer, or a fork with all that follows up to its join. */
class Cell {
  constructor(part, placed, last, down) {
    this.part = part;
    this.known = lookedUp(part);
    this.down = down;
    this.last = last;
    this.first = part.in.length;
    this.end = this.first + part.it.length;
    this.p = part.at.map((_, i) => this.isItem(i) ? placed[part.it[i - this.first]] : null);
    this.col = part.at.map(at => at[0]);
    this.lane = part.at.map(at => at[1]);
    this.lastCol = this.col.reduce((most, column) => Math.max(most, column), 1);
    this.tall = this.p.some(p => p && isStepped(p));
    this.centred = this.p.map((p, i) => p ? this.span(i) : null);
    this.across();
    this.exits();
    this.jogs();
    this.along();
    this.measure();
    this.connect();
  }

  isItem(i) {
    return i >= this.first && i < this.end;
  }

  /** The columns between fork and join of a short branch, where it may stand in the middle. */
  span(i) {
    if (!isStraight(this.p[i]) || this.known.inLane.get(this.lane[i]) > 1) return null;
    const into = this.known.into[i], from = this.known.from[i];
    if (into.length !== 1 || from.length !== 1) return null;
    const low = this.col[into[0][1]], high = this.col[from[0][2]], own = this.lane[i];
    // a line that runs in another lane changes to this one next to the item, wherever it stands
    if (![...into[0][3], ...from[0][3]].every(lane => lane === own)) return null;
    const crossed = this.part.e.some(e => {
      if (e === into[0] || e === from[0]) return false;
      const lanes = [this.lane[e[1]], ...e[3], this.lane[e[2]]];
      return lanes.slice(1).some((lane, step) => {
        const gap = this.col[e[1]] + step, before = lanes[step];
        const inside = gap > low && gap < high - 1;
        return inside && Math.min(lane, before) <= own && own <= Math.max(lane, before);
      });
    });
    return crossed || high - low < 3 ? null : [low, high];
  }

  // across the flow

  /** What each lane needs above and below its line, in each column (even) and gap (odd). */
  occupied() {
    const found = [], withItems = new Set(this.lane.filter((_, i) => this.isItem(i)));
    this.p.forEach((p, i) => {
      const [low, high] = this.centred[i] || [this.col[i] - 1, this.col[i] + 1];
      found.push([this.lane[i], 2 * low + 1, 2 * high - 1, p ? p.base : 4, p ? p.h - p.base : 4]);
    });
    for (const [, from, to, lanes, kind] of this.part.e) {
      const word = kind & IS_IDENTITY ? (this.down ? [4, IDENTITY_ROOM] : [13, 2]) : [4, 2];
      lanes.forEach((lane, step) => {
        const column = this.col[from] + 1 + step, target = this.p[to];
        const more = step === lanes.length - 1 && target && target.item.s ? 1 : 0;
        const [up, low] = withItems.has(lane) ? [6, 4] : word;
        found.push([lane, 2 * column - 1, 2 * column + 1 + more, up, low]);
      });
    }
    return found;
  }

  /** Give each lane its height, as near to the first lane as what is there lets it. */
  across() {
    const need = new Map(), gap = LANE_GAP + (this.down ? BESIDE : 0);
    for (const row of this.occupied()) {
      if (!need.has(row[0])) need.set(row[0], []);
      need.get(row[0]).push(row);
    }
    const zero = this.lane.length ? this.lane[0] : 0;
    const top = new Map(), bottom = new Map();
    this.laneY = new Map();
    const put = (lane, y) => {
      this.laneY.set(lane, y);
      for (const [, from, to, up, low] of need.get(lane) || []) {
        for (let s = from; s <= to; s++) {
          top.set(s, Math.min(top.has(s) ? top.get(s) : Infinity, y - up));
          bottom.set(s, Math.max(bottom.has(s) ? bottom.get(s) : -Infinity, y + low));
        }
      }
    };
    const nearest = (lane, sign, edge) => {
      let y = 0;
      for (const [, from, to, up, low] of need.get(lane)) {
        for (let s = from; s <= to; s++) {
          if (edge.has(s)) y = Math.max(y, sign * edge.get(s) + gap + (sign > 0 ? up : low));
        }
      }
      return sign * y;
    };
    const lanes = [...need.keys()].sort((a, b) => a - b);
    put(zero, 0);
    for (const lane of lanes.filter(n => n < zero).reverse()) put(lane, nearest(lane, -1, top));
    for (const lane of lanes.filter(n => n > zero)) put(lane, nearest(lane, 1, bottom));
    this.y = this.lane.map(lane => this.laneY.get(lane));
    this.top = [...top.values()].reduce((least, y) => Math.min(least, y), 0);
    this.bottom = [...bottom.values()].reduce((most, y) => Math.max(most, y), 0);
  }

  /** Let a value leave at the height at which it leaves its item. */
  exits() {
    for (const [net, from, to] of this.part.e) {
      const beside = this.col[to] - this.col[from] === 1;
      if (to >= this.end && beside && this.p[from]) this.y[to] = this.port(from, net, false);
    }
  }

  port(i, net, entering) {
    const p = this.p[i];
    if (!p) return this.y[i];
    return this.y[i] - p.base + (entering ? portIn(p, net) : portOut(p, net));
  }

  /** An edge's height at its source, at each column that it passes, at its target. */
  levels([net, from, to, lanes]) {
    return [this.port(from, net, false), ...lanes.map(n => this.laneY.get(n)), this.port(to, net, true)];
  }

  /** Lines from other lanes enter a circle from above or below. */
  aside(edge, levels) {
    const to = edge[2], p = this.p[to], far = levels.length > 2 && !same(levels.at(-2), levels.at(-1));
    if (this.down || !p || !p.item.s || !far) return false;
    const [low, high] = [levels.at(-2), this.y[to]].sort((a, b) => a - b);
    return !this.p.some((other, i) => {
      const span = this.centred[i];
      const here = span ? span[0] < this.col[to] && this.col[to] < span[1] : this.col[i] === this.col[to];
      const up = other ? other.base : 0, down = other ? other.h - other.base : 0;
      return i !== to && here && this.y[i] - up < high && low < this.y[i] + down;
    });
  }

  // along the flow

  /** Give each change of lane its own track in its gap, shared by lines of one value. */
  jogs() {
    this.tracks = new Map();
    this.nTracks = new Map();
    this.left = this.part.e.flatMap(edge => {
      const levels = this.levels(edge);
      return levels.slice(1).map((b, step) => ({ gap: this.col[edge[1]] + step, a: levels[step], b, net: edge[0] }));
    }).filter(one => !same(one.a, one.b));
    for (const edge of this.part.e) {
      const levels = this.levels(edge), aside = this.aside(edge, levels);
      for (let step = 0; step < levels.length - 1; step++) {
        const last = step === levels.length - 2, joining = this.joins(edge, levels, step);
        if (same(levels[step], levels[step + 1]) || (last && aside)) continue;
        const gap = this.col[edge[1]] + step;
        const name = joining ? `j${gap}:${edge[2]}` : `f${gap}:${edge[0]}`;
        const count = this.nTracks.get(gap) || [0, 0];
        if (!this.tracks.has(name)) this.tracks.set(name, joining ? count[1]++ : count[0]++);
        this.nTracks.set(gap, count);
      }
    }
  }

  /** Whether an edge comes to its target's lane here, behind all other values that leave that lane. */
  joins(edge, levels, step) {
    if (step < levels.length - 2) return false;
    const gap = this.col[edge[1]] + step, b = levels.at(-1);
    return step > 0 || this.left.some(one => one.gap === gap && same(one.a, b) && one.net !== edge[0]);
  }

  arrowRoom(gap) {
    return gap + 1 === this.lastCol && this.part.out.length ? 2 : ARROW;
  }

  along() {
    this.x = this.p.map(() => 0);
    this.gapStart = [];
    this.gapEnd = [];
    let x = 0;
    for (let column = this.first ? 0 : 1; column <= this.lastCol; column++) {
      const here = this.known.inColumn.get(column) || [];
      const wide = Math.max(0, ...here.map(i => this.p[i] ? this.p[i].w : 0));
      for (const i of here) this.x[i] = x + (wide - (this.p[i] ? this.p[i].w : 0)) / 2;
      this.gapStart[column] = x + wide;
      x += wide + (column < this.lastCol ? this.gapRoom(column, here) : 0);
      this.gapEnd[column] = x;
    }
    this.w = x;
    this.centred.forEach((span, i) => {
      if (!span) return;
      const low = this.gapEnd[span[0]], high = this.gapStart[span[1] - 1];
      if (low !== undefined && high - low > this.p[i].w) this.x[i] = (low + high - this.p[i].w) / 2;
    });
  }

  gapRoom(column, here) {
    const [forks, joins] = this.nTracks.get(column) || [0, 0];
    let room = 0;
    for (const [net, from, to] of here.flatMap(i => this.known.from[i])) {
      if (!this.p[from] || (this.last && to >= this.end)) continue;
      const shape = shapeOf(this.p[from], net);
      if (shape) room = Math.max(room, this.down ? SMALL : shape[1] + 3);
    }
    return LEAD + room + TRACK * (forks + joins) + this.arrowRoom(column);
  }

  jogX(edge, gap, joining) {
    const end = this.gapEnd[gap] - this.arrowRoom(gap);
    if (joining) return end - TRACK * this.tracks.get(`j${gap}:${edge[2]}`);
    const [forks, joins] = this.nTracks.get(gap);
    return end - TRACK * (joins + forks - 1 - this.tracks.get(`f${gap}:${edge[0]}`));
  }

  points(edge) {
    const levels = this.levels(edge), aside = this.aside(edge, levels);
    const [, from, to] = edge;
    const points = [[this.p[from] ? this.x[from] + this.p[from].w : this.x[from], levels[0]]];
    for (let step = 0; step < levels.length - 1; step++) {
      const a = levels[step], b = levels[step + 1], last = step === levels.length - 2;
      if (same(a, b)) continue;
      if (last && aside) {
        const centre = this.x[to] + 10;
        return [...points, [centre, a], [centre, this.y[to] + (a < b ? -10 : 10)]];
      }
      const x = this.jogX(edge, this.col[from] + step, this.joins(edge, levels, step));
      points.push([x, a], [x, b]);
    }
    points.push([this.x[to], levels.at(-1)]);
    return points;
  }

  // the result

  measure() {
    this.yIn = this.part.in.length ? this.y[0] : 0;
    this.yOut = this.part.out.length ? this.y[this.end] : 0;
    this.items = [];
    this.p.forEach((p, i) => {
      if (p) this.items.push({ p, x: this.x[i], y: this.y[i] - p.base });
    });
    for (let i = this.end; i < this.y.length; i++) {
      this.top = Math.min(this.top, this.y[i]);
      this.bottom = Math.max(this.bottom, this.y[i]);
    }
  }

  connect() {
    const labelled = new Set();
    this.labels = [];
    this.wires = this.part.e.map(edge => {
      const [net, from, to, , kind] = edge, points = this.points(edge);
      const source = this.p[from], target = this.p[to];
      const shape = source && !(kind & SKIP) && !(this.last && to >= this.end) && shapeOf(source, net);
      if (shape && !labelled.has(net)) {
        labelled.add(net);
        const room = this.down ? SMALL : shape[1] + 3;
        const second = !source.kids && source.outs && net !== source.item.g[0];
        const at = [points[0][0] + 3 + room / 2, points[0][1] + (second ? BELOW : 0)];
        this.labels.push({ text: shape[0], wide: shape[1], at });
      }
      if (kind & IS_IDENTITY) this.labels.push(identity(points));
      return { net, source, target, points, skip: kind & SKIP, whole: true };
    });
    const made = new Map(this.part.e.map((edge, i) => [edge, this.wires[i]]));
    for (const [edge, wire] of made) this.fork(wire, this.known.from[edge[1]].map(one => made.get(one)));
  }

  /** Mark where a line leaves another of its value; what both share is drawn once, as a plain line. */
  fork(wire, leaving) {
    if (wire.points.length < 3) return;
    const turn = wire.points[1];
    const beside = leaving.filter(w => w !== wire && w.net === wire.net && passes(w.points, turn));
    if (!beside.length) return;
    wire.dot = turn;
    const before = leaving.slice(0, leaving.indexOf(wire));
    if (!beside.some(w => !w.skip && (wire.skip || (w.whole && before.includes(w))))) return;
    wire.points = wire.points.slice(1);
    wire.whole = false;
  }
}

/** Whether a line runs through a point. */
function passes(points, [x, y]) {
  return points.slice(1).some(([x1, y1], i) => {
    const [x0, y0] = points[i];
    const between = (a, b, c) => Math.min(a, c) - 0.01 <= b && b <= Math.max(a, c) + 0.01;
    return between(x0, x, x1) && between(y0, y, y1);
  });
}

function identity(points) {
  let best = [points[0], points[1]];
  for (let i = 1; i < points.length; i++) {
    if (points[i][0] - points[i - 1][0] > best[1][0] - best[0][0]) best = [points[i - 1], points[i]];
  }
  return { text: IDENTITY, skip: true, at: [(best[0][0] + best[1][0]) / 2, best[0][1]] };
}
