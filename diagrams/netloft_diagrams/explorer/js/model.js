// The network as the page holds it: items with their parents, and ways to find them.

const data = JSON.parse(document.getElementById("graph").textContent);
const byKey = new Map(), byPath = new Map(), everything = [], everyFrame = [];

(function index(items, parent, depth) {
  for (const item of items) {
    item.parent = parent;
    item.depth = depth;
    item.d = item.d || {};
    item.l = item.l || [];
    byKey.set(item.k, item);
    everything.push(item);
    for (const path of [item.p, ...(item.d.x || [])]) {
      if (path && !byPath.has(path)) byPath.set(path, item);
    }
    if (item.F) {
      everyFrame.push(item);
      index(item.F.i, item, depth + 1);
    }
  }
})(data.root.i, null, 0);

function titleOf(item) {
  return item.u || item.t || item.c || "repeat";
}
function pathOf(item) {
  return item.q && item.q !== item.p ? `${item.p} … ${item.q}` : item.p || "";
}
function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}
function bytes(number) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (number >= size) return `${(number / size).toFixed(1)} ${unit}`;
  }
  return `${number} B`;
}

/** What a screen reader says of an item. */
function spoken(item, isOpen) {
  const parts = [titleOf(item), ...item.l, pathOf(item)];
  if (item.x) parts.push(`${item.x} times`);
  if (item.d.o) parts.push(`gives ${item.d.o.join(", ")}`);
  if (item.d.n) parts.push(`${count(item.d.n)} parameters`);
  if (item.F) parts.push(isOpen ? "open" : "closed");
  return parts.filter(Boolean).join(", ");
}

/** Elements of SVG and HTML; text is only ever set as text. */
function svg(name, attributes, text, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined && text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
function html(name, attributes, text, parent) {
  const made = document.createElement(name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined && text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
function short(number) {
  return Math.round(number * 10) / 10;
}
