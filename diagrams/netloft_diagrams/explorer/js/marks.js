// Boxes, frames and lines as SVG elements; the same marks as in the drawing for print.

const BAND = 12, LINE = 12.5, TITLE_SIZE = 11.5;

function words(parent, x, y, text, size, wide, attributes) {
  if (!text) return null;
  const more = wide ? { textLength: wide, lengthAdjust: "spacingAndGlyphs" } : {};
  return svg("text", { x: short(x), y: short(y), "font-size": size, ...more, ...attributes }, text, parent);
}
function rectangle(parent, x, y, w, h, rx, attributes) {
  const size = { x: short(x), y: short(y), width: short(w), height: short(h), rx };
  return svg("rect", { ...size, ...attributes }, null, parent);
}
function pile(parent, w, h, name) {
  for (const d of [5, 2.5]) rectangle(parent, d, d, w, h, 5, { class: name });
}
function badge(parent, times, right) {
  const text = `×${times}`, wide = 7.6 * text.length + 8;
  rectangle(parent, right - wide + 9, -11, wide, 16, 8, { class: "badge" });
  words(parent, right - wide / 2 + 9, 1, text, TITLE_SIZE, 0, { class: "badge-text" });
}
function icon(parent, family, x, y) {
  const path = ICONS[family];
  if (path) svg("path", { d: path, class: "icon", transform: `translate(${short(x)} ${short(y)})` }, null, parent);
}

function boxMark(one) {
  const item = one.item;
  const mark = svg("g", {
    class: `box k-${item.f} ${item.P || ""}`, transform: `translate(${short(one.x)} ${short(one.y)})`,
    "data-key": item.k, "data-kind": item.f,
  });
  svg("title", {}, [pathOf(item), item.c, titleOf(item), ...item.l, ...item.d.ov || []].filter(Boolean).join("\n"), mark);
  if (item.s) signMark(mark, item);
  else if (item.f === "input" || item.f === "output") endMark(mark, item);
  else cardMark(mark, item);
  return mark;
}

function cardMark(mark, item) {
  if (item.x) pile(mark, item.w, item.h, "card");
  rectangle(mark, 0, 0, item.w, item.h, 4, { class: item.f === "shape" || item.f === "identity" ? "card dash" : "card" });
  const h = short(item.h - 8);
  svg("path", { class: "band", d: `M${BAND} 0v${item.h}h-8q-4 0 -4 -4v-${h}q0 -4 4 -4z` }, null, mark);
  icon(mark, item.f, BAND / 2 - 5, item.h / 2 - 5);
  const left = BAND + 4, rows = [...item.l, item.n || ""];
  words(mark, left, 3 + TITLE_SIZE, item.t, TITLE_SIZE, item.tw[0], { class: "title" });
  rows.forEach((row, i) => {
    const quiet = i === item.l.length ? { class: "quiet" } : {};
    words(mark, left, 3 + TITLE_SIZE + LINE * (i + 1), row, SMALL, item.tw[i + 1], quiet);
  });
  const below = 3 + TITLE_SIZE + LINE * (item.l.length + (item.n ? 1 : 0));
  (item.o || []).forEach((row, i) => words(
    mark, left, below + LINE * (i + 1), row, SMALL, item.ow[i], { class: "title note" },
  ));
  if (item.st) stripMark(mark, item);
  if (item.x) badge(mark, item.x, item.w);
}

function stripMark(mark, item) {
  const each = (item.w - BAND - 4) / item.st.length;
  item.st.forEach((kind, i) => rectangle(
    mark, BAND + 1 + each * i, item.h - 5, each - 0.6, 3.4, 0, { class: `stripe k-${kind}` },
  ));
}

function signMark(mark, item) {
  const single = item.t.length === 1;
  if (item.n) {
    rectangle(mark, item.s - 10, 2.5, item.w - item.s + 10, 15, 7.5, { class: "card k-activation" });
    words(mark, item.s + 2, 13.5, item.n, SMALL, item.tw.at(-1));
  }
  rectangle(mark, 0, 0, item.s, 20, 10, { class: "card thick" });
  words(mark, item.s / 2, single ? 15.2 : 13.5, item.t, single ? 15 : SMALL, item.tw[0], { class: "title middle" });
}

function endMark(mark, item) {
  rectangle(mark, 0, 0, item.w, item.h, Math.min(item.h / 2, 20), { class: "card" });
  words(mark, item.w / 2, 3 + TITLE_SIZE, item.t, TITLE_SIZE, item.tw[0], { class: "title middle" });
  item.l.forEach((row, i) => words(
    mark, item.w / 2, 3 + TITLE_SIZE + LINE * (i + 1), row, SMALL, item.tw[i + 1], { class: "middle" },
  ));
}

function frameMark(one) {
  const item = one.item, F = item.F;
  const mark = svg("g", {
    class: `frame d${Math.min(item.depth, 3)}`, transform: `translate(${short(one.x)} ${short(one.y)})`,
    "data-key": item.k,
  });
  svg("title", {}, [pathOf(item), item.c, "click the title to close"].filter(Boolean).join("\n"), mark);
  if (item.x) pile(mark, one.w, one.h, "ground");
  rectangle(mark, 0, 0, one.w, one.h, 6, { class: "ground" });
  const left = one.p.heading, shift = F.t ? F.tw[0] + 6 : 0;
  rectangle(mark, left - 4, 2, shift + (F.tw[1] || 0) + 20, 15, 4, { class: "grip" });
  words(mark, left, 13, F.t, SMALL, F.tw[0], { class: "title" });
  words(mark, left + shift, 13, F.b, SMALL, F.tw[1], { class: "quiet" });
  svg("path", { class: "more", d: `M${short(left + shift + (F.tw[1] || 0) + 5)} 9.5h6` }, null, mark);
  if (item.x) badge(mark, item.x, one.w);
  return mark;
}

/** The path of a line with round corners. */
function rounded(points) {
  let path = `M${short(points[0][0])} ${short(points[0][1])}`;
  for (let i = 1; i < points.length - 1; i++) {
    const [[x0, y0], [x1, y1], [x2, y2]] = [points[i - 1], points[i], points[i + 1]];
    const before = Math.abs(x1 - x0) + Math.abs(y1 - y0), after = Math.abs(x2 - x1) + Math.abs(y2 - y1);
    const r = Math.min(5, before / 2, after / 2), s = Math.sign;
    path += `L${short(x1 - r * s(x1 - x0))} ${short(y1 - r * s(y1 - y0))}`
      + `Q${short(x1)} ${short(y1)} ${short(x1 + r * s(x2 - x1))} ${short(y1 + r * s(y2 - y1))}`;
  }
  return `${path}L${short(points.at(-1)[0])} ${short(points.at(-1)[1])}`;
}

function wireMark(wire) {
  const mark = svg("g", { class: wire.skip ? "wire skip" : "wire" });
  svg("path", {
    class: "line", "data-net": wire.net, "data-frame": wire.frame,
    "data-from": wire.source ? wire.source.item.k : "", "data-to": wire.target ? wire.target.item.k : "",
    d: rounded(wire.points),
  }, null, mark);
  if (wire.target && !wire.target.kids) arrowMark(mark, wire.points);
  if (wire.dot) svg("circle", { cx: short(wire.dot[0]), cy: short(wire.dot[1]), r: 2.2 }, null, mark);
  return mark;
}

function arrowMark(mark, points) {
  const [x, y] = points.at(-1), [bx, by] = points.at(-2);
  const dx = Math.sign(x - bx), dy = dx ? 0 : Math.sign(y - by);
  const corner = side => `${short(x - dx * 6 - dy * 3.2 * side)} ${short(y - dy * 6 - dx * 3.2 * side)}`;
  svg("path", { class: "head", d: `M${short(x)} ${short(y)}L${corner(1)}L${corner(-1)}Z` }, null, mark);
}

function labelMark(label, down) {
  const [x, y] = label.at, wide = label.wide || 0;
  const attributes = { class: `label${label.skip ? " skip" : ""}${down ? "" : " middle"}` };
  return words(null, down ? x + 5 : x, down ? y + 4 : y - 3, label.text, SMALL, wide, attributes);
}
