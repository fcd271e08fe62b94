// Rows of parts, one below the other, with the lines that lead from row to row: one frame.

/** Room of the sign after a title that says: this closes. */
const CLOSE_SIGN = 14;

class Stack {
  constructor(item, rows, isRoot, down) {
    this.item = item;
    this.rows = rows;
    this.isRoot = isRoot;
    this.down = down;
    [this.start, this.finish, this.head, this.foot] = isRoot ? [0, 0, 0, 0]
      : down ? [HEAD, FOOT, SIDE, SIDE] : [SIDE, SIDE, HEAD, FOOT];
    this.kids = [];
    this.wires = [];
    this.labels = [];
  }

  done() {
    this.measure();
    this.carried = null;
    this.rows.forEach((row, k) => {
      row.forEach((cell, i) => this.add(cell, row.x[i], row.y[i], k === 0 && i === 0));
      if (k < this.rows.length - 1) this.turn(row, this.rows[k + 1]);
    });
    return this.result();
  }

  measure() {
    const step = this.rows.length > 1 ? INDENT : 0;
    let y = this.head, long = 0;
    this.rows.forEach((row, k) => {
      let x = this.start + (k ? step : 0), offset = 0, top = 0, bottom = 0;
      row.x = [];
      row.y = row.map((cell, i) => {
        row.x.push(x);
        x += cell.w;
        if (i) offset += row[i - 1].yOut - cell.yIn;
        top = Math.min(top, offset + cell.top);
        bottom = Math.max(bottom, offset + cell.bottom);
        return offset;
      });
      row.y = row.y.map(one => one + y - top);
      row.end = x + 4;
      y += bottom - top;
      row.channel = y + LINE_AT;
      long = Math.max(long, x - this.start + step);
      y += k < this.rows.length - 1 ? CHANNEL : 0;
    });
    this.title = this.isRoot ? 0 : this.titleWidth();
    if (!this.down) long = Math.max(long, this.title - this.start - this.finish);
    this.w = this.start + long + this.finish;
    this.h = y + this.foot;
  }

  titleWidth() {
    const [path, facts] = this.item.F.tw;
    return path + facts + (this.item.x ? 36 : 0) + CLOSE_SIGN + TITLE_ENDS;
  }

  /** Put one part in its place; lines that come from before it go on to where they end. */
  add(cell, dx, dy, isFirst) {
    const moved = points => points.map(([x, y]) => [x + dx, y + dy]);
    this.kids.push(...cell.items.map(one => ({ p: one.p, x: one.x + dx, y: one.y + dy })));
    this.labels.push(...cell.labels.map(label => ({ ...label, at: [label.at[0] + dx, label.at[1] + dy] })));
    const before = this.carried;
    this.carried = null;
    for (const wire of cell.wires) {
      let points = moved(wire.points), source = wire.source;
      if (!source && isFirst) {
        if (wire.whole) points[0] = [0, points[0][1]];
      } else if (!source && before) {
        if (wire.whole) points = [...before.points, ...points];
        source = before.source;
      }
      if (!wire.target && !cell.last) {
        this.carried = { source, points };
        continue;
      }
      if (!wire.target) points[points.length - 1] = [this.w, points.at(-1)[1]];
      this.wires.push({
        net: wire.net, source, target: wire.target, skip: wire.skip, points: merged(points),
        dot: wire.dot && [wire.dot[0] + dx, wire.dot[1] + dy],
      });
    }
  }

  /** Lead the one value that crosses from the end of a row to the start of the next. */
  turn(row, next) {
    if (!this.carried) return;
    const leave = row.y.at(-1) + row.at(-1).yOut, enter = next.y[0] + next[0].yIn;
    const start = this.start + 3;
    this.carried.points = [
      ...this.carried.points, [row.end, leave], [row.end, row.channel], [start, row.channel], [start, enter],
    ];
  }

  result() {
    const first = this.rows[0], final = this.rows.at(-1);
    const ins = new Map(), outs = new Map();
    if (first.length) {
      first[0].part.in.forEach((net, i) => ins.set(net, first.y[0] + first[0].y[i]));
      const last = final.at(-1);
      last.part.out.forEach((net, i) => outs.set(net, final.y.at(-1) + last.y[last.end + i]));
    }
    const heading = this.down ? this.heading([...ins.values()]) : SIDE;
    if (this.down) this.h = Math.max(this.h, heading + this.title - SIDE);
    const base = [...ins.values(), ...outs.values(), this.h / 2][0];
    const { item, w, h, kids, wires, labels } = this;
    return { item, w, h, base, ins, outs, kids, wires, labels, heading };
  }

  /** Where a title begins that no line from above runs through: left of all, or right. */
  heading(ins) {
    if (!ins.length || SIDE + this.title - TITLE_ENDS <= Math.min(...ins) - SIDE) return SIDE;
    return Math.max(...ins) + SIDE;
  }
}

/** Leave out points that a straight line passes anyway. */
function merged(points) {
  const kept = [points[0]];
  for (let i = 1; i < points.length; i++) {
    const [x, y] = points[i], [x0, y0] = kept.at(-1), [x1, y1] = points[i + 1] || [NaN, NaN];
    if (same(x, x0) && same(y, y0) && i < points.length - 1) continue;
    if ((same(y0, y) && same(y, y1)) || (same(x0, x) && same(x, x1))) continue;
    kept.push(points[i]);
  }
  return kept;
}
