// Where the reader looks: move, zoom, fit, print.

/** Below this scale a figure is not shown whole but from its start. */
const READABLE = 0.45;

class View {
  constructor(holder, figure) {
    this.holder = holder;
    this.figure = figure;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.waiting = false;
    this.pointers = new Map();
    this.listen();
  }

  get size() {
    return [this.holder.clientWidth || 1, this.holder.clientHeight || 1];
  }

  show() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.now());
  }

  now() {
    this.waiting = false;
    if (this.printing) return;
    const [w, h] = this.size, s = this.scale;
    const transform = `translate(${short(this.x)} ${short(this.y)}) scale(${s.toFixed(4)})`;
    this.figure.world.setAttribute("transform", transform);
    this.figure.refresh({ x: -this.x / s, y: -this.y / s, w: w / s, h: h / s }, s, false);
  }

  fit() {
    const [w, h] = this.size, { width, height } = this.figure;
    this.scale = Math.max(0.01, Math.min((w - 24) / width, (h - 24) / height, 1.5));
    this.x = (w - width * this.scale) / 2;
    this.y = Math.max(12, (h - height * this.scale) / 2);
    this.show();
  }

  /** Show all where that can be read; else the start, at a size that can be. */
  start() {
    this.fit();
    if (this.scale >= READABLE) return;
    this.scale = 0.8;
    const { width, height } = this.figure, [w, h] = this.size;
    this.x = width * 0.8 < w ? (w - width * 0.8) / 2 : 12;
    this.y = height * 0.8 < h ? (h - height * 0.8) / 2 : 12;
    this.show();
  }

  zoom(factor, cx, cy) {
    const [w, h] = this.size;
    if (cx === undefined) [cx, cy] = [w / 2, h / 2];
    const next = Math.min(6, Math.max(0.01, this.scale * factor));
    this.x = cx - (cx - this.x) * next / this.scale;
    this.y = cy - (cy - this.y) * next / this.scale;
    this.scale = next;
    this.show();
  }

  /** Move as little as needed so that an item is in sight, at a size that can be read. */
  reveal(one) {
    const [w, h] = this.size;
    if (this.scale < 0.5) {
      this.scale = 0.9;
      this.x = w / 2 - (one.x + Math.min(one.w, w) / 2) * this.scale;
      this.y = h / 2 - (one.y + Math.min(one.h, h) / 2) * this.scale;
    }
    const s = this.scale, pad = 30;
    const shift = (at, size, start, room) => {
      const low = at * s + start, high = low + size * s;
      if (low < pad || size * s > room - 2 * pad) return low < pad || low > room - 4 * pad ? pad - low : 0;
      return high > room - pad ? room - pad - high : 0;
    };
    this.x += shift(one.x, one.w, this.x, w);
    this.y += shift(one.y, one.h, this.y, h);
    this.show();
  }

  listen() {
    const { holder } = this, middle = () => {
      const box = holder.getBoundingClientRect(), all = [...this.pointers.values()];
      const sum = key => all.reduce((total, p) => total + p[key], 0) / all.length;
      const far = all.length > 1 ? Math.hypot(all[0].x - all[1].x, all[0].y - all[1].y) : 0;
      return { x: sum("x") - box.left, y: sum("y") - box.top, far };
    };
    holder.addEventListener("wheel", event => {
      event.preventDefault();
      const box = holder.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    holder.addEventListener("pointerdown", event => {
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.pointers.size === 1) this.moved = 0;
    });
    window.addEventListener("pointermove", event => {
      if (!this.pointers.has(event.pointerId)) return;
      const before = middle();
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const after = middle();
      this.moved += Math.hypot(after.x - before.x, after.y - before.y);
      this.x += after.x - before.x;
      this.y += after.y - before.y;
      if (before.far && after.far) this.zoom(after.far / before.far, after.x, after.y);
      this.show();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      window.addEventListener(name, event => this.pointers.delete(event.pointerId));
    }
    window.addEventListener("resize", () => this.show());
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
  }

  /** On paper the whole figure is drawn, as it stands, to the width of the page. */
  print(begin) {
    const { svg: root, world, width, height } = this.figure;
    this.printing = begin;
    if (begin) {
      root.setAttribute("viewBox", `-6 -14 ${Math.ceil(width) + 20} ${Math.ceil(height) + 24}`);
      world.removeAttribute("transform");
      this.figure.area = null;
      this.figure.refresh({ x: 0, y: 0, w: width, h: height }, 1, true);
    } else {
      root.removeAttribute("viewBox");
      this.figure.area = null;
      this.now();
    }
  }
}
