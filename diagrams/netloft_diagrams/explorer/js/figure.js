// What is drawn of the figure: items near the view, in full or as plain shapes when they are small.

const COARSE = 0.28;

class Figure {
  constructor(root) {
    this.svg = root;
    this.world = svg("g", { class: "world" }, null, root);
    this.grounds = svg("g", { role: "presentation" }, null, this.world);
    this.lines = svg("g", { role: "presentation" }, null, this.world);
    this.boxes = svg("g", { role: "presentation" }, null, this.world);
    this.ring = svg("rect", { class: "ring", rx: 6, visibility: "hidden" }, null, this.world);
    this.drawn = new Map();
    this.layers = [];
    this.shown = new Map();
  }

  /** Lay out anew: which items are shown, where, and the lines between them. */
  update(isOpen, room) {
    const down = data.down, layout = new Layout(data.root, isOpen, room, down);
    this.shown = new Map();
    this.order = [];
    this.wires = [];
    this.labels = [];
    this.down = down;
    this.walk(layout.root, 0, 0);
    [this.width, this.height] = down ? [layout.root.h, layout.root.w] : [layout.root.w, layout.root.h];
    this.clear();
  }

  walk(placed, dx, dy) {
    const at = ([x, y]) => this.down ? [y + dy, x + dx] : [x + dx, y + dy];
    for (const wire of placed.wires) {
      const points = wire.points.map(at), xs = points.map(p => p[0]), ys = points.map(p => p[1]);
      this.wires.push({
        ...wire, points, dot: wire.dot && at(wire.dot), frame: placed.item.k, id: `w${this.wires.length}`,
        x: Math.min(...xs), y: Math.min(...ys),
        w: Math.max(...xs) - Math.min(...xs), h: Math.max(...ys) - Math.min(...ys),
      });
    }
    for (const label of placed.labels) {
      const [x, y] = at(label.at);
      this.labels.push({ ...label, at: [x, y], x: x - 40, y: y - 14, w: 80, h: 20, id: `l${this.labels.length}` });
    }
    for (const kid of placed.kids) {
      const [x, y] = at([kid.x, kid.y]), p = kid.p;
      const one = { item: p.item, p, x, y, w: this.down ? p.h : p.w, h: this.down ? p.w : p.h, n: this.order.length };
      this.shown.set(p.item.k, one);
      this.order.push(one);
      if (p.kids) this.walk(p, dx + kid.x, dy + kid.y);
    }
  }

  clear() {
    this.drawn.clear();
    this.layers = [];
    for (const layer of [this.grounds, this.lines, this.boxes]) layer.replaceChildren();
    this.area = null;
  }

  /** Draw what lies in the rectangle, and a margin around it; take away what is far. */
  refresh(view, scale, whole) {
    const coarse = !whole && scale < COARSE;
    if (coarse !== this.coarse) this.clear();
    this.coarse = coarse;
    const inside = a => a && view.x >= a.x && view.y >= a.y && view.x + view.w <= a.x + a.w && view.y + view.h <= a.y + a.h;
    if (inside(this.area)) return;
    const mx = view.w / 3, my = view.h / 3;
    this.area = whole ? { x: -1e9, y: -1e9, w: 2e9, h: 2e9 }
      : { x: view.x - mx, y: view.y - my, w: view.w + 2 * mx, h: view.h + 2 * my };
    const near = one => one.x < this.area.x + this.area.w && one.x + one.w > this.area.x
      && one.y < this.area.y + this.area.h && one.y + one.h > this.area.y;
    const wanted = new Set();
    const smallest = coarse ? 1.2 / scale : 0;
    for (const one of this.order) {
      if (near(one) && one.w + one.h > smallest) this.keep(wanted, one.item.k, () => this.add(one, coarse));
    }
    if (coarse) this.keep(wanted, "all lines", () => this.addLines());
    else {
      for (const wire of this.wires) if (near(wire)) this.keep(wanted, wire.id, () => this.put(this.lines, wireMark(wire)));
      for (const label of this.labels) {
        if (near(label)) this.keep(wanted, label.id, () => this.put(this.boxes, labelMark(label, this.down)));
      }
    }
    for (const [key, mark] of this.drawn) {
      if (wanted.has(key)) continue;
      mark.remove();
      this.drawn.delete(key);
    }
  }

  keep(wanted, key, make) {
    wanted.add(key);
    if (!this.drawn.has(key)) this.drawn.set(key, make());
  }

  put(layer, mark) {
    layer.append(mark);
    return mark;
  }

  add(one, coarse) {
    const isFrame = Boolean(one.p.kids), depth = one.item.depth;
    const mark = coarse ? this.plain(one, isFrame) : isFrame ? frameMark(one) : boxMark(one);
    mark.id = `n-${one.item.k}`;
    mark.setAttribute("role", "treeitem");
    mark.setAttribute("aria-level", depth + 1);
    mark.setAttribute("aria-label", spoken(one.item, isFrame));
    if (one.item.F) mark.setAttribute("aria-expanded", String(isFrame));
    if (!isFrame) return this.put(this.boxes, mark);
    while (this.layers.length <= depth) this.layers.push(svg("g", { role: "presentation" }, null, this.grounds));
    return this.put(this.layers[depth], mark);
  }

  plain(one, isFrame) {
    const mark = svg("g", { class: isFrame ? `frame d${Math.min(one.item.depth, 3)}` : `box k-${one.item.f}`, "data-key": one.item.k });
    rectangle(mark, one.x, one.y, one.w, one.h, 4, { class: isFrame ? "ground" : "card far" });
    return mark;
  }

  addLines() {
    const mark = svg("g", { class: "wire" });
    const path = wires => wires.map(w => w.points.map((p, i) => `${i ? "L" : "M"}${Math.round(p[0])} ${Math.round(p[1])}`).join("")).join("");
    svg("path", { class: "line", d: path(this.wires.filter(w => !w.skip)) }, null, mark);
    const skips = svg("g", { class: "wire skip" }, null, mark);
    svg("path", { class: "line", d: path(this.wires.filter(w => w.skip)) }, null, skips);
    return this.put(this.lines, mark);
  }

  /** Draw the ring around the chosen item, if it is shown. */
  mark(key) {
    const one = this.shown.get(key);
    this.ring.setAttribute("visibility", one ? "visible" : "hidden");
    if (!one) return;
    const size = { x: one.x - 3, y: one.y - 3, width: one.w + 6, height: one.h + 6 };
    for (const name in size) this.ring.setAttribute(name, short(size[name]));
  }
}
