// Search by path, class, title and operation; Enter goes there.

const MOST_HITS = 200;

class Search {
  constructor(input, list, status, go) {
    Object.assign(this, { input, list, status, go, hits: [], at: 0 });
    input.addEventListener("input", () => this.find());
    input.addEventListener("keydown", event => this.key(event));
    list.addEventListener("click", event => {
      const row = event.target.closest("li");
      if (row) this.pick(Number(row.dataset.index));
    });
  }

  /** The words of an item that are searched; made when they are first needed. */
  words(item) {
    if (item.words === undefined) {
      const ops = (item.d.f || []).map(row => row.slice(row.indexOf(": ") + 2));
      item.words = [item.p, item.q, item.c, titleOf(item), ...item.l, ...ops, ...(item.d.x || [])]
        .filter(Boolean).join("\n").toLowerCase();
    }
    return item.words;
  }

  find() {
    const wanted = this.input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const found = wanted.length ? everything.filter(item => wanted.every(w => this.words(item).includes(w))) : [];
    const rank = item => {
      const path = (item.p || "").toLowerCase();
      return path === wanted[0] ? 0 : path.startsWith(wanted[0]) ? 1 : path.includes(wanted[0]) ? 2 : 3;
    };
    this.hits = found.map((item, i) => [rank(item), i, item]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(row => row[2]);
    this.at = 0;
    this.show(found.length, wanted.length);
  }

  show(n, asked) {
    this.list.replaceChildren();
    this.hits.slice(0, MOST_HITS).forEach((item, i) => {
      const row = html("li", { role: "option", id: `hit-${i}`, "data-index": i, "data-key": item.k }, null, this.list);
      html("b", {}, titleOf(item) + (item.x ? ` ×${item.x}` : ""), row);
      html("span", {}, [pathOf(item), item.F ? item.c : ""].filter(Boolean).join(" · "), row);
    });
    this.list.hidden = !this.hits.length;
    const more = n > MOST_HITS ? `, the first ${MOST_HITS} are listed` : "";
    this.status.textContent = asked ? `${n} found${more}` : "";
    this.input.setAttribute("aria-expanded", String(this.hits.length > 0));
    this.light();
  }

  light() {
    [...this.list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === this.at)));
    const row = this.list.children[this.at];
    if (row) {
      this.input.setAttribute("aria-activedescendant", row.id);
      row.scrollIntoView({ block: "nearest" });
    } else this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const last = Math.min(this.hits.length, MOST_HITS) - 1;
    if (event.key === "ArrowDown") this.at = Math.min(last, this.at + 1);
    else if (event.key === "ArrowUp") this.at = Math.max(0, this.at - 1);
    else if (event.key === "Enter") return this.pick(this.at);
    else if (event.key === "Escape") {
      event.stopPropagation();
      this.close();
      this.go(null);
      return undefined;
    } else return undefined;
    event.preventDefault();
    return this.light();
  }

  pick(index) {
    const item = this.hits[index];
    if (!item) return;
    this.close();
    this.go(item);
  }

  close() {
    this.input.value = "";
    this.hits = [];
    this.show(0, 0);
  }
}
