// The page: what is open, what is chosen, keys, buttons and the address.

const LEAST_SCALE = 0.75;
/** Open modules that the address can name; what is more is left out. */
const MOST_IN_ADDRESS = 400;

const stage = document.getElementById("figure");
const holder = document.getElementById("view");
const live = document.getElementById("live");
const figure = new Figure(stage);
const view = new View(holder, figure);
const panel = new Panel(document.getElementById("details"), item => go(item));
const search = new Search(
  document.getElementById("find"), document.getElementById("hits"), document.getElementById("found"),
  item => item ? go(item, true) : stage.focus(),
);
let open = new Set(), chosen = null, room = 750, changed = false;

const isOpen = item => open.has(item.k);
const openWhere = test => new Set(everyFrame.filter(test).map(item => item.k));

/** Lay out with the width that lets the figure be largest in the view. */
function fitRoom() {
  const [w, h] = view.size, many = figure.order ? figure.order.length : 60;
  const tried = [750, 1000, 1400, 1900].concat(many > 400 ? [2600, 3600, 5000] : []);
  let best = null;
  for (const one of tried) {
    figure.update(isOpen, one);
    const scale = Math.min(w / figure.width, h / figure.height);
    if (!best || scale > best[0] * 1.03) best = [scale, one];
  }
  room = best[1];
  figure.update(isOpen, room);
  return best[0];
}

/** What the boxes alone cover: where that is too much, nothing has to be laid out to know it. */
function area(items) {
  return items.reduce((sum, item) => sum + (item.F && isOpen(item) ? area(item.F.i) : item.w * item.h), 0);
}

/** Open as much as fits the screen at a size that can be read, or what was asked for. */
function openAtFirst() {
  const asked = item => item.F.e;
  if (data.depth !== null) {
    open = openWhere(item => item.F.v <= data.depth || asked(item));
    fitRoom();
    return;
  }
  const deepest = Math.max(0, ...everyFrame.map(item => item.F.d));
  const levels = [];
  for (let depth = deepest; depth >= 0; depth--) {
    levels.push(item => item.F.d <= depth, item => item.F.d <= depth && !item.F.z);
  }
  const [w, h] = view.size, most = w * h / LEAST_SCALE ** 2;
  let best = null;
  for (const level of levels) {
    open = openWhere(item => level(item) || asked(item));
    for (const item of everyFrame) if (item.parent && !open.has(item.parent.k)) open.delete(item.k);
    const fits = area(data.root.i) <= most && fitRoom() >= LEAST_SCALE;
    if (fits && (!best || figure.order.length > best[0])) best = [figure.order.length, open];
    if (best && figure.order && figure.order.length < best[0]) break;
  }
  if (best) open = best[1];
  fitRoom();
}

/** Draw the new state; one item stays where it is on the screen. */
function relayout(anchor) {
  const before = anchor && figure.shown.get(anchor.k);
  figure.update(isOpen, room);
  const after = anchor && figure.shown.get(anchor.k);
  if (before && after) {
    view.x += (before.x - after.x) * view.scale;
    view.y += (before.y - after.y) * view.scale;
  }
  view.show();
  mark();
}

function mark() {
  figure.mark(chosen ? chosen.k : "");
  if (chosen && figure.shown.has(chosen.k)) stage.setAttribute("aria-activedescendant", `n-${chosen.k}`);
  else stage.removeAttribute("aria-activedescendant");
}

function toggle(item) {
  if (!item.F) return;
  if (!open.delete(item.k)) open.add(item.k);
  changed = true;
  if (!open.has(item.k)) {
    for (let one = chosen; one; one = one.parent) if (one === item) chosen = item;
  }
  relayout(item);
  live.textContent = spoken(item, isOpen(item));
  remember();
}

function all(opened) {
  open = opened ? openWhere(() => true) : new Set();
  changed = true;
  while (chosen && chosen.parent && !opened) chosen = chosen.parent;
  if (fitRoom() < READABLE) {
    // too much for one screen: as wide as the screen, to be read from top to bottom
    const [w, h] = view.size;
    room = Math.max(560, ((data.down ? h : w) - 24) / 0.8);
    figure.update(isOpen, room);
  }
  view.start();
  mark();
  remember();
}

/** Choose an item: open what is around it, bring it into sight, tell what is known of it. */
function go(item, focus) {
  let hidden = false;
  for (let one = item.parent; one; one = one.parent) {
    hidden = hidden || !open.has(one.k);
    open.add(one.k);
  }
  changed = changed || hidden;
  chosen = item;
  if (hidden) relayout(null);
  view.reveal(figure.shown.get(item.k));
  mark();
  panel.show(item);
  live.textContent = spoken(item, isOpen(item));
  if (focus) stage.focus({ preventScroll: true });
  remember();
}

function leave() {
  chosen = null;
  mark();
  panel.show(null);
  remember();
}

// keys

function step(by) {
  const items = figure.order.map(one => one.item);
  const at = items.indexOf(chosen);
  const next = items[at < 0 ? (by > 0 ? 0 : items.length - 1) : at + by];
  if (next) go(next);
}
function enter() {
  if (!chosen) return step(1);
  if (!chosen.F) return undefined;
  if (!isOpen(chosen)) toggle(chosen);
  return go(chosen.F.i[0]);
}
const KEYS = {
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  ArrowDown: enter,
  ArrowUp: () => chosen && chosen.parent && go(chosen.parent),
  Home: () => go(figure.order[0].item),
  End: () => go(figure.order.at(-1).item),
  Enter: () => chosen && (chosen.F ? toggle(chosen) : go(chosen)),
  " ": () => chosen && (chosen.F ? toggle(chosen) : go(chosen)),
};
const ANYWHERE = {
  "/": () => search.input.focus(),
  "+": () => view.zoom(1.25),
  "=": () => view.zoom(1.25),
  "-": () => view.zoom(1 / 1.25),
  "0": () => view.fit(),
  Escape: () => leave(),
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === search.input) return;
  const inFigure = event.target === stage || event.target === document.body;
  const known = (inFigure && Object.hasOwn(KEYS, event.key) && KEYS[event.key])
    || (Object.hasOwn(ANYWHERE, event.key) && ANYWHERE[event.key]);
  if (!known) return;
  event.preventDefault();
  known();
});

// mouse and buttons

function isTitle(event, one) {
  const box = holder.getBoundingClientRect();
  return (event.clientY - box.top - view.y) / view.scale - one.y < HEAD;
}
holder.addEventListener("click", event => {
  if (view.moved > 4 || !(event.target instanceof Element)) return;
  const grip = event.target.closest("[data-key]");
  if (!grip) return;
  stage.focus({ preventScroll: true });
  const item = byKey.get(grip.dataset.key);
  const one = figure.shown.get(item.k);
  const inTitle = isTitle(event, one);
  if (item.F && (!isOpen(item) || inTitle)) toggle(item);
  go(item);
});
const BUTTONS = {
  out: () => view.zoom(1 / 1.25),
  in: () => view.zoom(1.25),
  fit: () => view.fit(),
  all: () => all(true),
  none: () => all(false),
  theme: () => {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme || (dark ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  },
  print: () => window.print(),
};
for (const id in BUTTONS) document.getElementById(id).addEventListener("click", () => {
  BUTTONS[id]();
  holder.querySelector("#figure").focus({ preventScroll: true }); // the keys go on working
});

// the address

function remember() {
  const parts = [];
  if (chosen) {
    if (chosen.p) parts.push(`path=${encodeURIComponent(chosen.p)}`);
    if (byPath.get(chosen.p) !== chosen) parts.push(`key=${chosen.k}`);
  }
  if (changed) {
    const keys = everyFrame.filter(isOpen).map(item => item.k);
    const text = keys.length === everyFrame.length ? "*" : keys.slice(0, MOST_IN_ADDRESS).join(",");
    parts.push(`open=${text}`);
  }
  const hash = parts.length ? `#${parts.join("&")}` : "";
  if (hash === location.hash) return;
  try {
    history.replaceState(null, "", hash || location.pathname + location.search);
  } catch {
    // some browsers limit how often the address of a file may change
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Take what is open and what is chosen from the address; what it names wrongly is passed over. */
function restore() {
  const wanted = new Map(location.hash.slice(1, 20000).split("&").map(part => {
    const at = part.indexOf("=");
    return at < 0 ? ["", ""] : [part.slice(0, at), decoded(part.slice(at + 1))];
  }));
  if (typeof wanted.get("open") === "string") {
    const names = new Set(wanted.get("open").split(","));
    const known = names.has("*") ? openWhere(() => true) : openWhere(item => names.has(item.k));
    if (known.size || wanted.get("open") === "") {
      open = known;
      changed = true;
      fitRoom();
      view.start();
    }
  }
  const item = byKey.get(wanted.get("key")) || byPath.get(wanted.get("path"));
  if (item) go(item);
}
window.addEventListener("hashchange", restore);

openAtFirst();
view.fit();
restore();
view.now();
document.documentElement.dataset.ready = "true";
performance.mark("netloft");
