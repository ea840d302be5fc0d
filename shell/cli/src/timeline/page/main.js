// The page: a recorded session, or the sessions of a program that runs.

const PAGE_ROWS = 50;

const SORTS = [
  ["attention", "What needs attention"],
  ["newest", "Newest"],
  ["oldest", "Oldest"],
  ["pending", "Most waiting requests"],
  ["kept", "Most memory"],
];

const byId = (id) => document.getElementById(id);

function main() {
  const data = JSON.parse(byId("data").textContent);
  if (data) showRecorded(data);
  else new Live().route();
}

function showRecorded({ facts, marks }) {
  byId("what").textContent = "A recorded session";
  document.title = `rejoin: session ${facts.session}`;
  byId("session").hidden = false;
  const view = new SessionView(byId("session"), { ...facts, isLive: false });
  view.add(marks);
}

/** The sessions of a program that runs. */
class Live {
  constructor() {
    this.query = "";
    this.sort = "attention";
    this.offset = 0;
    this.source = null;
    this.view = null;
    /** Delays a search while somebody types. */
    this.timer = undefined;
    addEventListener("hashchange", () => this.route());
    setInterval(() => {
      for (const cell of document.querySelectorAll("#list [data-opened]")) {
        cell.textContent = duration(Math.floor((Date.now() - cell.dataset.opened) / 1000) * 1000);
      }
    }, 1000);
  }

  route() {
    clearTimeout(this.timer);
    this.source?.close();
    this.view?.close();
    this.view = null;
    const session = location.hash.slice(1);
    byId("sessions").hidden = session !== "";
    byId("session").hidden = session === "";
    if (session === "") this.list();
    else this.open(session);
  }

  /** Receives events. The browser reconnects by itself. */
  receive(url, handlers) {
    this.source?.close();
    const source = new EventSource(url);
    this.source = source;
    source.addEventListener("open", () => this.say("live"));
    source.addEventListener("error", () => {
      this.say(source.readyState === EventSource.CLOSED ? "not connected" : "connecting…");
    });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data), source));
    }
  }

  say(status) {
    byId("status").textContent = status;
    byId("status").className = status === "live" ? "good" : "warn";
  }

  list() {
    byId("what").textContent = "Sessions, as they are now";
    document.title = "rejoin: sessions";
    const body = html("tbody");
    const total = html("p", { id: "total", role: "status" });
    const pager = html("div", { class: "toolbar" });
    const refresh = () => {
      const parameters = new URLSearchParams({ query: this.query, sort: this.sort, offset: this.offset, limit: PAGE_ROWS });
      this.receive(`live/sessions?${parameters}`, {
        sessions: (list) => this.showList(list, body, total, pager, refresh),
        refused: ({ reason }, source) => {
          source.close();
          this.say("not connected");
          total.textContent = reason;
        },
      });
    };
    const search = (event) => {
      this.query = event.target.value;
      this.offset = 0;
      clearTimeout(this.timer);
      this.timer = setTimeout(refresh, 200);
    };
    const columns = ["Session", "Server", "Client", "Open for", "Waiting requests", "Connections", "Kept", "Lost, back", "Missing"];
    byId("sessions").replaceChildren(
      html("h2", { id: "sessions-title" }, "Sessions"),
      html("div", { class: "toolbar" },
        html("label", {}, "Find ", html("input", { type: "search", id: "query", value: this.query, placeholder: "id, server, client, owner", input: search })),
        html("label", {}, "Sort by ", html("select", { id: "sort", change: (event) => {
          this.sort = event.target.value;
          this.offset = 0;
          refresh();
        } }, ...SORTS.map(([value, text]) => html("option", { value, selected: value === this.sort }, text))))),
      total,
      html("div", { class: "wide" }, html("table", { id: "list" },
        html("thead", {}, html("tr", {}, ...columns.map((column) => html("th", { scope: "col" }, column)))), body)),
      pager);
    refresh();
  }

  showList({ count: all, matching, offset, sessions }, body, total, pager, refresh) {
    total.textContent = matching === all
      ? count(all, "session")
      : `${matching.toLocaleString("en")} of ${count(all, "session")}`;
    body.replaceChildren(...sessions.map((session) => {
      const id = session.session;
      const number = (value, tone) => html("td", { class: `number ${value ? tone ?? "" : "zero"}` }, String(value));
      return html("tr", {},
        html("td", {}, html("a", { href: `#${id}` }, html("code", {}, id))),
        html("td", {}, session.server),
        html("td", {}, session.client ?? "not opened yet"),
        html("td", { class: "number", "data-opened": Date.now() - session.age_seconds * 1000 }, duration(session.age_seconds * 1000)),
        number(session.pending_requests), number(session.connections),
        html("td", { class: "number" }, size(session.kept_bytes)),
        html("td", { class: `number ${session.lost > session.resumed ? "warn" : session.lost ? "" : "zero"}` }, `${session.lost}, ${session.resumed}`),
        number(session.missed, "bad"));
    }));
    const go = (to) => () => {
      this.offset = Math.max(0, to);
      refresh();
    };
    const end = offset + sessions.length;
    pager.replaceChildren(
      html("button", { type: "button", disabled: offset === 0, click: go(offset - PAGE_ROWS) }, "Previous"),
      html("span", {}, matching === 0 ? "none" : `${offset + 1} to ${end} of ${matching.toLocaleString("en")}`),
      html("button", { type: "button", disabled: end >= matching, click: go(offset + PAGE_ROWS) }, "Next"));
  }

  open(session) {
    byId("what").textContent = "A session, as it happens";
    document.title = `rejoin: session ${session}`;
    const root = byId("session");
    delete root.dataset.ready;
    root.replaceChildren(html("p", {}, html("a", { href: "#" }, "← All sessions")), html("p", {}, "Connecting…"));
    const name = encodeURIComponent(session);
    const fail = (text) => {
      this.source?.close();
      this.say("not connected");
      root.replaceChildren(html("p", {}, html("a", { href: "#" }, "← All sessions")), html("p", { class: "warn" }, text));
    };
    const onEnd = async () => {
      if (!confirm("End this session? Its pending requests fail, and its process is stopped.")) return;
      const response = await fetch(`sessions/${name}`, { method: "DELETE" }).catch((error) => error);
      if (response.ok) return;
      const reason = response instanceof Error ? response.message : await response.text();
      alert(`The session was not ended: ${reason.trim()}`);
    };
    this.receive(`live/sessions/${name}`, {
      // Again after each reconnection, and when the page could not keep up.
      start: ({ facts, state, at, marks }) => {
        this.view?.close();
        this.view = new SessionView(root, { ...facts, isLive: true, state: "open", onEnd });
        this.view.add(marks);
        this.view.start(state, at);
      },
      marks: (marks) => this.view?.add(marks),
      end: (_, source) => {
        source.close();
        this.say("ended");
        this.view?.setFacts({ state: "ended" });
      },
      refused: ({ reason }) => fail(reason),
    });
  }
}

main();
