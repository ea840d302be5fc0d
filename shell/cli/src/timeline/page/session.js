// The view of one session: its story, its picture, and the same as text.

class SessionView {
  constructor(root, facts) {
    this.root = root;
    this.facts = facts;
    this.history = new History();
    /** The number of the part that is shown; null follows the end. */
    this.part = facts.isLive ? null : 0;
    this.isScheduled = false;
    this.story = html("ul", { id: "story" });
    this.pager = html("div", { id: "pager", class: "toolbar" });
    this.labels = html("div", { id: "labels", "aria-hidden": "true" });
    this.scroll = html("div", { id: "scroll", tabindex: 0, role: "region", "aria-label": "Timeline, scrolls sideways" });
    this.table = html("tbody");
    this.factList = html("dl", { id: "facts" });
    root.replaceChildren(
      facts.isLive ? html("p", {}, html("a", { href: "#" }, "← All sessions")) : html("p", {}),
      html("h2", { id: "session-title" }, "Session ", html("code", {}, facts.session)),
      this.factList,
      html("h3", {}, "In short"),
      this.story,
      html("h3", {}, "Timeline"),
      html("p", { class: "hint" }, "Time goes from left to right; long waits are shortened. Point at a mark, or click it, to read what it means."),
      this.pager,
      html("div", { id: "timeline" }, this.labels, this.scroll),
      legend(),
      html("h3", {}, "What happened"),
      html("div", { id: "text" },
        html("table", {},
          html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "Time"), html("th", { scope: "col" }, "Stream"), html("th", { scope: "col" }, "What happened"))),
          this.table)),
    );
    this.showFacts();
    this.resized = new ResizeObserver(() => this.schedule());
    this.resized.observe(this.scroll);
  }

  close() {
    this.resized.disconnect();
  }

  setFacts(facts) {
    Object.assign(this.facts, facts);
    this.showFacts();
  }

  showFacts() {
    const { facts } = this;
    const rows = [
      ["Server", facts.server],
      ["Client", facts.client],
      ["Belongs to", facts.principal],
      ["MCP revision", facts.revision],
      ["Process", facts.process],
      ["Recorded by", facts.version && `rejoin ${facts.version}`],
      ["State", facts.state],
    ].filter(([, value]) => value);
    const end = facts.onEnd && facts.state === "open"
      ? html("div", {}, html("button", { type: "button", class: "danger", click: facts.onEnd }, "End this session"))
      : null;
    this.factList.replaceChildren(
      ...rows.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, String(value)))), ...(end ? [end] : []));
  }

  start(state, at) {
    this.history.start(state, at);
    this.schedule();
  }

  add(marks) {
    this.history.add(marks);
    const opened = marks.find((mark) => mark.kind === "opened");
    if (opened?.revision && !this.facts.revision) this.setFacts({ revision: opened.revision });
    this.schedule();
  }

  schedule() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    requestAnimationFrame(() => {
      this.isScheduled = false;
      this.show();
    });
  }

  show() {
    const { history } = this;
    const parts = history.parts(this.facts.isLive);
    const number = Math.min(this.part ?? parts.length - 1, parts.length - 1);
    const part = parts[number];
    const rows = this.rowsOf(part);
    const isAtEnd = this.scroll.scrollLeft + this.scroll.clientWidth >= this.scroll.scrollWidth - 60;
    const { picture, placed } = draw(history, part, rows, this.scroll.clientWidth, (mark) => this.select(mark));
    this.labels.replaceChildren(...rows.map(label));
    this.scroll.replaceChildren(picture);
    if (this.part === null && isAtEnd) this.scroll.scrollLeft = this.scroll.scrollWidth;
    this.story.replaceChildren(...story(history, this.facts).map(([tone, text]) => html("li", { class: tone }, text)));
    this.showPager(parts, number);
    this.table.replaceChildren(...placed.map(({ mark }, index) => this.line(mark, index)));
    this.root.dataset.ready = "true";
  }

  /** Returns the rows of a part: those with marks, and those that are open. */
  rowsOf([start, end]) {
    const { history } = this;
    const names = new Set(["session", "standalone"]);
    for (const mark of history.marks.slice(start, end)) names.add(mark.row);
    const state = history.stateAt(start);
    const open = [...state.rows.keys()].filter((name) => state.isOpen(name)).sort((a, b) => b - a);
    for (const name of open) {
      if (names.size < PART_STREAMS_MAX + 6) names.add(name);
    }
    const order = (name) => ({ session: -2, standalone: -1 })[name] ?? Number(name);
    return [...names].sort((a, b) => order(a) - order(b)).map((name) => history.row(name));
  }

  showPager(parts, number) {
    if (parts.length === 1) {
      this.pager.replaceChildren();
      return;
    }
    const go = (to) => () => {
      this.part = to === parts.length - 1 && this.facts.isLive ? null : to;
      this.schedule();
    };
    this.pager.replaceChildren(
      html("button", { type: "button", disabled: number === 0, click: go(0) }, "Beginning"),
      html("button", { type: "button", disabled: number === 0, click: go(number - 1) }, "Earlier"),
      html("span", {}, `Part ${number + 1} of ${parts.length}`),
      html("button", { type: "button", disabled: number === parts.length - 1, click: go(number + 1) }, "Later"),
      html("button", { type: "button", disabled: number === parts.length - 1, click: go(parts.length - 1) }, this.facts.isLive ? "Follow" : "End"),
    );
  }

  line(mark, index) {
    const where = mark.row === "session" ? "" : mark.row;
    return html("tr", {
      "data-number": index, "data-kind": mark.kind, class: toneOf(mark),
      mouseenter: () => this.highlight(index, true), mouseleave: () => this.highlight(index, false),
    },
      html("td", {}, clock(mark.at)), html("td", {}, where), html("td", {}, sentence(mark)));
  }

  highlight(index, isOn) {
    const mark = this.scroll.querySelector(`.mark[data-number="${index}"]`);
    mark?.classList.toggle("chosen", isOn);
  }

  select(index) {
    for (const line of this.table.querySelectorAll(".chosen")) line.classList.remove("chosen");
    const line = this.table.children[index];
    line.classList.add("chosen");
    line.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
}

/** Returns whether a mark is good or bad news. */
function toneOf(mark) {
  if (["gap", "evicted", "response-lost", "expired", "missing"].includes(mark.kind)) return "bad";
  if (["lost", "cut", "held", "rejected", "stalled", "timed-out", "process-ended", "kept"].includes(mark.kind)) return "warn";
  if (mark.kind === "sent" && mark.class === "failure") return "bad";
  if (mark.kind === "resumed") return "good";
  return "plain";
}

function label(row) {
  const requests = [...row.requests];
  let name = `Stream ${row.name}`;
  let what = requests.map(([id, { name: method }]) => (method ? `${id} · ${method}` : `request ${id}`)).join(", ");
  if (row.name === "session") [name, what] = ["Session", "opening, end, and refusals"];
  if (row.name === "standalone") [name, what] = ["Standalone stream", "what belongs to no request"];
  const outcomes = requests.map(([, { outcome }]) => outcome);
  let state = "";
  if (row.name !== "session" && requests.length) {
    if (outcomes.includes(null)) state = "waiting for the server";
    else if (outcomes.every((outcome) => outcome === "result")) state = "answered";
    else state = outcomes.find((outcome) => outcome !== "result").replace("-", " ");
  }
  return html("div", { class: "label", "data-row": row.name },
    html("strong", {}, name), html("span", { title: what }, what), html("em", { class: state === "answered" ? "good" : "" }, state));
}

function legend() {
  const rows = LEGEND.map(([mark, text]) => {
    const width = Math.max(widthOf(mark), 16) + 6;
    const picture = svg("svg", { width, height: 24, viewBox: `0 0 ${width} 24`, "aria-hidden": "true", class: "sample" },
      mark.kind === "held" ? svg("rect", { class: "held", x: 2, y: 9, width: width - 4, height: 6, rx: 3 }) : null,
      symbol({ ...mark }, width / 2, 12, widthOf(mark) / 2));
    return html("div", {}, html("dt", {}, picture), html("dd", {}, text));
  });
  return html("details", { id: "legend" },
    html("summary", {}, "What the symbols and words mean"),
    html("p", {}, "A client and a server talk in a session. Each request of the client has its own stream, which carries what the server sends for it, at last its response; the standalone stream carries the rest. Events are numbered in each stream. A connection delivers a stream. When it is lost, rejoin keeps what the server sends meanwhile; the client comes back with the number of the last event that it has, and gets what follows."),
    html("p", {}, "“Taken” means that the connection has accepted it: what has really arrived is only known when the client comes back and says so. That is why some events are sent a second time; the client knows them by their number."),
    html("dl", {}, ...rows));
}
