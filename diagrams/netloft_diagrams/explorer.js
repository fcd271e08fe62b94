"use strict";
const view = document.getElementById("view");
const svg = view.querySelector("svg");
const tree = document.querySelector("nav");
const width = Number(svg.getAttribute("width"));
const height = Number(svg.getAttribute("height"));
let scale = 1, x = 0, y = 0, drag = null;

function show() {
  svg.style.transform = `translate(${x}px,${y}px) scale(${scale})`;
}
function fit() {
  scale = Math.min(view.clientWidth / width, view.clientHeight / height, 2);
  x = (view.clientWidth - width * scale) / 2;
  y = Math.max(0, (view.clientHeight - height * scale) / 2);
  show();
}
function zoom(factor, cx, cy) {
  const next = Math.min(8, Math.max(0.05, scale * factor));
  x = cx - (cx - x) * next / scale;
  y = cy - (cy - y) * next / scale;
  scale = next;
  show();
}
function zoomMiddle(factor) {
  zoom(factor, view.clientWidth / 2, view.clientHeight / 2);
}
function openRow(row) {
  for (let parent = row; parent; parent = parent.parentElement) {
    if (parent.tagName === "DETAILS") parent.open = true;
  }
  row.scrollIntoView({ block: "nearest" });
  row.querySelector("summary").focus();
}

view.addEventListener("wheel", event => {
  event.preventDefault();
  const box = view.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
view.addEventListener("pointerdown", event => {
  drag = { x, y, startX: event.clientX, startY: event.clientY };
});
window.addEventListener("pointermove", event => {
  if (!drag) return;
  x = drag.x + event.clientX - drag.startX;
  y = drag.y + event.clientY - drag.startY;
  show();
});
window.addEventListener("pointerup", event => {
  const still = drag && Math.hypot(event.clientX - drag.startX, event.clientY - drag.startY) < 4;
  drag = null;
  const box = still && event.target instanceof Element && event.target.closest("g.box");
  if (!box) return;
  const rows = [...tree.querySelectorAll("details")];
  const row = rows.find(one => one.dataset.key === box.dataset.key);
  if (row) openRow(row);
});
tree.addEventListener("focusin", event => {
  const row = event.target.closest("details");
  for (const box of svg.querySelectorAll("g.box")) {
    box.classList.toggle("hit", Boolean(row) && box.dataset.key === row.dataset.key);
  }
});
document.getElementById("find").addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  for (const row of tree.querySelectorAll("details")) {
    const hit = row.textContent.toLowerCase().includes(wanted);
    row.hidden = !hit;
    if (wanted && hit && row.querySelector("details")) row.open = true;
  }
});
document.getElementById("in").addEventListener("click", () => zoomMiddle(1.3));
document.getElementById("out").addEventListener("click", () => zoomMiddle(1 / 1.3));
document.getElementById("fit").addEventListener("click", fit);
window.addEventListener("resize", fit);
fit();
