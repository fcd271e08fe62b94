// The panel beside the figure: what is known of the chosen item.

class Panel {
  constructor(holder, choose) {
    this.holder = holder;
    this.choose = choose;
  }

  show(item) {
    this.holder.replaceChildren();
    this.holder.hidden = !item;
    if (!item) return;
    const d = item.d, times = item.x ? ` ×${item.x}` : "";
    const one = item.x || (d.x || []).length > 1 ? ", in one copy" : "";
    html("h2", {}, titleOf(item) + times, this.holder);
    this.trail(item);
    const list = html("dl", {}, null, this.holder);
    const row = (name, text) => {
      if (!text) return;
      html("dt", {}, name, list);
      html("dd", {}, text, list);
    };
    row("path", pathOf(item));
    row("class", item.c);
    row("fused", item.F ? "" : item.l.join(", "));
    row("output", (d.o || []).join(", "));
    row("output bytes", d.b ? `${bytes(d.b)} for one item of the batch` : "");
    row("parameters", d.n ? `${count(d.n)}${d.wb ? ` (${bytes(d.wb)})` : ""}${one}` : "");
    row("all copies", d.xn ? `${count(d.xn)} parameters` : "");
    row("multiply-adds", d.m ? `${count(d.m)} for one item of the batch${one}` : "");
    row("overlay", (d.ov || []).join("\n"));
    row("operations", d.c ? count(d.c) : "");
    row("source", d.s);
    this.repeats(item);
    for (const [op, attributes] of d.a || []) this.table(op, attributes);
    for (const weight of d.w || []) this.weight(weight, item);
    this.list("inside, in order", d.in);
    this.list("nodes of the graph", d.f);
    this.holder.scrollTop = 0;
  }

  /** The modules around it, each a button. */
  trail(item) {
    const around = [];
    for (let one = item.parent; one; one = one.parent) around.unshift(one);
    if (!around.length) return;
    const nav = html("nav", { "aria-label": "modules around it" }, null, this.holder);
    for (const one of around) {
      const button = html("button", { type: "button" }, one.F.t || titleOf(one), nav);
      button.addEventListener("click", () => this.choose(one));
    }
  }

  repeats(item) {
    const paths = item.d.x || [];
    if (!item.x && paths.length < 2) return;
    const times = Math.max(item.x || 0, paths.length);
    const which = paths.length ? `: ${paths.length > 12 ? `${paths.slice(0, 12).join(", ")} …` : paths.join(", ")}` : "";
    html("p", { class: "copies" }, `stands for ${times} equal copies${which}`, this.holder);
  }

  table(op, attributes) {
    html("h3", {}, op, this.holder);
    const list = html("dl", { class: "attributes" }, null, this.holder);
    for (const [name, value] of Object.entries(attributes)) {
      html("dt", {}, name, list);
      html("dd", {}, value, list);
    }
  }

  weight([name, shape, found], item) {
    const holder = html("figure", { class: "weight", "data-parameter": name }, null, this.holder);
    const caption = html("figcaption", {}, null, holder);
    html("b", {}, name, caption);
    html("span", {}, ` ${shape}`, caption);
    if (typeof found === "string") {
      html("p", {}, found, holder);
      return;
    }
    const [low, high, mean, std, odd, counts] = found;
    const most = Math.max(...counts), total = counts.reduce((a, b) => a + b, 0);
    const chart = svg("svg", { viewBox: "0 0 256 56", role: "img", class: "bars" }, null, holder);
    chart.setAttribute("aria-label", `${count(total)} values from ${low} to ${high}, mean ${mean}, std ${std}`);
    counts.forEach((n, i) => {
      const h = n ? Math.max(1, 54 * n / most) : 0;
      const bar = svg("rect", { x: i * 8 + 0.5, y: short(56 - h), width: 7, height: short(h), "data-count": n }, null, chart);
      const at = k => Number((low + (high - low) * k / counts.length).toPrecision(3));
      svg("title", {}, `${at(i)} … ${at(i + 1)}: ${count(n)}`, bar);
    });
    html("p", {}, `min ${low} · max ${high} · mean ${mean} · std ${std}${odd ? ` · ${count(odd)} not finite` : ""}`, holder);
    const paths = item.d.x || [];
    if (paths.length > 1) html("p", {}, `of ${paths[0]}, the first of ${paths.length} copies`, holder);
  }

  list(title, rows) {
    if (!rows || !rows.length) return;
    const more = html("details", {}, null, this.holder);
    html("summary", {}, `${title} (${rows.length})`, more);
    const list = html("ol", {}, null, more);
    for (const row of rows) html("li", {}, row, list);
  }
}
