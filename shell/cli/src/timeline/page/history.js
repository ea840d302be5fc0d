// The marks of one session, and what they say of its rows.

/** Maximum number of marks of a live session; the oldest are dropped. */
const MARKS_MAX = 20000;
/** Maximum number of marks, and of request streams, in one picture. */
const PART_MARKS_MAX = 1500;
const PART_STREAMS_MAX = 20;
/** More events than that in a row are drawn as one. */
const SINGLE_EVENTS_MAX = 4;
/** Events that are further apart, in milliseconds, are drawn one by one. */
const RUN_GAP_MAX = 5000;

class History {
  constructor() {
    this.marks = [];
    /** What is known of each row, by name. */
    this.rows = new Map();
    /** The state before the first mark. */
    this.base = new State();
    this.dropped = 0;
    /** Whether a stream that is not shown has events that the client has not taken. */
    this.hidesKept = false;
    this.row("session");
    this.row("standalone");
  }

  row(name) {
    let row = this.rows.get(name);
    if (!row) {
      row = { name, requests: new Map(), marks: 0 };
      this.rows.set(name, row);
    }
    return row;
  }

  /** Begins at the state of a session, after the marks that are known of its past. */
  start({ streams, requests }, at) {
    for (const mark of requests) {
      this.row(mark.row).requests.set(mark.request, { name: mark.name, outcome: null });
    }
    const shown = streams.filter((stream) => !stream.complete || stream.connection !== null);
    const pending = requests.map(({ row, request }) => ({ row, request }));
    this.hidesKept = streams.some((stream) => !shown.includes(stream) && stream.logged > 0 && stream.acknowledged < stream.last);
    const before = shown.filter((stream) => stream.last > 0)
      .map((stream) => ({ kind: "before", at, ...stream }));
    this.add([{ kind: "watched", row: "session", at, streams: shown, pending }, ...before]);
  }

  add(marks) {
    for (const mark of marks) {
      const row = this.row(mark.row);
      row.marks += 1;
      if (mark.kind === "began") row.requests.set(mark.request, { name: mark.name, outcome: null });
      if (mark.kind === "ended") {
        const request = row.requests.get(mark.request);
        if (request) request.outcome = mark.outcome;
      }
      this.marks.push(mark);
    }
    if (this.marks.length > MARKS_MAX) this.drop(this.marks.length - MARKS_MAX);
  }

  drop(number) {
    for (const mark of this.marks.splice(0, number)) {
      this.base.apply(mark);
      const row = this.rows.get(mark.row);
      row.marks -= 1;
      const isFixed = row.name === "session" || row.name === "standalone";
      if (row.marks === 0 && !isFixed && !this.base.isOpen(row.name)) this.rows.delete(row.name);
    }
    this.dropped += number;
  }

  /**
   * Returns the parts that are drawn one at a time, as pairs of indexes. Those of a live session
   * are counted from its end, so that the last one is full.
   */
  parts(fromEnd) {
    const length = this.marks.length;
    const parts = [];
    let streams = new Set();
    let start = 0;
    for (let index = 0; index < length; index += 1) {
      const { row } = this.marks[fromEnd ? length - 1 - index : index];
      if (row !== "session" && row !== "standalone") streams.add(row);
      if (index - start >= PART_MARKS_MAX || streams.size > PART_STREAMS_MAX) {
        parts.push([start, index]);
        start = index;
        streams = new Set([row]);
      }
    }
    parts.push([start, length]);
    return fromEnd ? parts.reverse().map(([from, to]) => [length - to, length - from]) : parts;
  }

  /** Returns the state before a mark. */
  stateAt(index) {
    const state = this.base.clone();
    for (const mark of this.marks.slice(0, index)) state.apply(mark);
    return state;
  }

  /** Returns what is drawn of a part: its marks in order, with runs of events as one. */
  drawn([start, end], state) {
    const drawn = [];
    const groups = new Map();
    /** Connections with a whole answer, which is no event of a stream. */
    const whole = new Set();
    state = state.clone();
    for (const mark of this.marks.slice(start, end)) {
      const item = { first: mark.event, last: mark.event, ...mark };
      const { connection } = state.row(mark.row);
      state.apply(mark);
      if (mark.kind === "sent" && mark.event === null) whole.add(mark.connection);
      if (mark.kind === "acknowledged") {
        item.whole = whole.has(mark.connection);
        const group = groups.get(mark.row);
        if (mark.through === 0) continue;
        if (group) group.items.push(item);
        else drawn.push({ items: [item] });
        continue;
      }
      if (mark.kind === "kept") item.absent = connection === null;
      const group = groups.get(mark.row);
      if (group && extendsRun(group.last, item)) {
        group.items.push(item);
        group.last = item;
      } else {
        const next = { items: [item], last: item };
        drawn.push(next);
        if (["sent", "kept"].includes(mark.kind)) groups.set(mark.row, next);
        else groups.delete(mark.row);
      }
    }
    return drawn.flatMap(flatten);
  }
}

/** Returns whether an event continues a run whose last event is this one. */
function extendsRun(last, item) {
  return item.class === "message" && last.class === "message"
    && ["sent", "kept"].includes(item.kind)
    && ["kind", "connection", "again", "absent"].every((key) => item[key] === last[key])
    && item.event === last.event + 1 && item.at - last.at < RUN_GAP_MAX;
}

/** Returns a group as single marks, or as one, and the last acknowledgement, if it has many. */
function flatten({ items, last }) {
  const isAcknowledgement = (item) => item.kind === "acknowledged";
  const events = items.filter((item) => !isAcknowledgement(item));
  if (events.length <= SINGLE_EVENTS_MAX) return items;
  const run = { ...events[0], last: last.event, until: last.at, number: events.length };
  return [run, ...items.filter(isAcknowledgement).slice(-1)];
}

/** What is open at a time. */
class State {
  constructor() {
    this.rows = new Map();
  }

  row(name) {
    let row = this.rows.get(name);
    if (!row) {
      row = { connection: null, pending: new Set(), held: false };
      this.rows.set(name, row);
    }
    return row;
  }

  isOpen(name) {
    const row = this.rows.get(name);
    return row !== undefined && (row.connection !== null || row.pending.size > 0);
  }

  apply(mark) {
    const row = this.row(mark.row);
    switch (mark.kind) {
      case "watched":
        this.watch(mark);
        return;
      case "attached":
      case "resumed":
        row.connection = mark.connection;
        break;
      case "lost":
      case "ends":
      case "cut":
        if (row.connection === mark.connection) row.connection = null;
        break;
      case "began":
        row.pending.add(mark.request);
        break;
      case "ended":
        row.pending.delete(mark.request);
        break;
      case "held":
        row.held = true;
        break;
      case "released":
        row.held = false;
        break;
    }
    const isEmpty = !this.isOpen(mark.row) && !row.held;
    if (isEmpty) this.rows.delete(mark.row);
  }

  /** Becomes what a session is when it begins to be watched. */
  watch({ streams, pending }) {
    this.rows.clear();
    for (const stream of streams) {
      Object.assign(this.row(stream.row), { connection: stream.connection, held: stream.held });
    }
    for (const { row, request } of pending) this.row(row).pending.add(request);
  }

  clone() {
    const clone = new State();
    for (const [name, row] of this.rows) {
      clone.rows.set(name, { ...row, pending: new Set(row.pending) });
    }
    return clone;
  }
}

/** What a client has been sent of one stream, by the numbers of events. */
class Delivery {
  constructor() {
    this.last = 0;
    this.sent = 0;
    this.acknowledged = 0;
  }

  apply(mark) {
    switch (mark.kind) {
      case "before":
        this.last = mark.last;
        this.acknowledged = mark.acknowledged;
        this.sent = mark.sent ?? mark.acknowledged;
        break;
      case "kept":
        this.last = Math.max(this.last, mark.event);
        break;
      case "sent":
        this.sent = Math.max(this.sent, mark.event ?? 0);
        this.last = Math.max(this.last, this.sent);
        break;
      case "gap":
        this.sent = Math.max(this.sent, mark.last);
        break;
      case "resumed":
        this.acknowledged = Math.max(this.acknowledged, mark.after);
        this.sent = Math.max(this.sent, mark.after);
        break;
      case "acknowledged":
        this.acknowledged = Math.max(this.acknowledged, mark.through);
        break;
      // What was on its way may not have arrived.
      case "lost":
      case "cut":
        this.sent = this.acknowledged;
        break;
    }
  }

  get missing() {
    return Math.max(0, this.last - this.sent);
  }
}

/** Returns a summary of all marks in sentences, as pairs of a tone and a text. */
function story(history, facts) {
  const total = { began: 0, ok: 0, failed: 0, lost: 0, cut: 0, resumed: 0, again: 0, fresh: 0, missing: 0, held: 0, sent: 0, evicted: 0, expired: 0, rejected: 0, unread: 0, timedOut: 0 };
  /** The errors in place of responses, each of which may be kept and then sent, more than once. */
  const errors = new Set();
  let closed = null;
  let isUncertain = history.dropped > 0;
  const deliveries = new Map();
  for (const mark of history.marks) {
    if (!deliveries.has(mark.row)) deliveries.set(mark.row, new Delivery());
    deliveries.get(mark.row).apply(mark);
    if (mark.class === "failure") errors.add(`${mark.row} ${mark.event ?? `on ${mark.connection}`}`);
    switch (mark.kind) {
      case "began": total.began += 1; break;
      case "ended": total[mark.outcome === "result" ? "ok" : "failed"] += 1; break;
      case "lost": total.lost += 1; break;
      case "cut": total.cut += mark.reason === "stalled" ? 1 : 0; break;
      case "resumed":
        total.resumed += 1;
        total.again += mark.again || 0;
        total.fresh += (mark.replayed || 0) - (mark.again || 0);
        break;
      case "gap": total.missing += mark.last - mark.first + 1; break;
      case "held": total.held += 1; break;
      case "response-lost": total.unread += 1; break;
      case "sent":
        total.sent += mark.class === "priming" ? 0 : 1;
        break;
      case "timed-out": total.timedOut += 1; break;
      case "evicted": total.evicted += 1; break;
      case "expired": total.expired += 1; break;
      case "rejected":
        total.rejected += 1;
        if (mark.by !== "client") isUncertain = true;
        break;
      case "dropped": isUncertain = true; break;
      case "closed": closed = mark.reason; break;
      case "missing": isUncertain = true; break;
    }
  }
  const pending = [...history.rows.values()].flatMap((row) => [...row.requests.values()])
    .filter((request) => request.outcome === null).length;
  // A page that was opened later knows of timeouts, but not of each error.
  const replaced = Math.max(errors.size, total.timedOut);
  const lines = [];
  const answered = `${total.ok === total.began && total.began > 0 ? (total.began === 1 ? "it was" : "all were") : count(total.ok, "was", "were")} answered`;
  const since = facts.isLive ? " since this page was opened" : "";
  const requests = [`The client made ${count(total.began, "request")}${since}`];
  if (total.began) requests.push(answered);
  if (total.failed) requests.push(`${count(total.failed, "ended", "ended")} in another way`);
  if (pending) requests.push(`${count(pending, "is", "are")} waiting for the server now`);
  if (!total.began) requests[0] = `The client has made no request${since}`;
  const sent = total.sent ? ` ${count(total.sent, "message was", "messages were")} sent to it.` : "";
  lines.push(["plain", `${requests.join("; ")}.${sent}`]);
  if (total.lost || total.cut) {
    const back = total.resumed ? `The client came back ${times(total.resumed)}` : "The client has not come back";
    const gotten = [];
    if (total.fresh) gotten.push(`${count(total.fresh, "event")} that came meanwhile`);
    if (total.again) gotten.push(`${count(total.again, "event")} again that may not have arrived`);
    const got = gotten.length ? `, and got ${gotten.join(", and ")}` : "";
    const what = [];
    if (total.lost) what.push(`A connection was lost ${times(total.lost)}`);
    if (total.cut) what.push(`${what.length ? "one" : "A connection"} was cut ${times(total.cut)} because the client did not read`);
    lines.push([total.resumed ? "plain" : "warn", `${what.join(", ")}. ${back}${got}.`]);
  } else if (total.resumed) {
    lines.push(["plain", `The client came back ${times(total.resumed)}.`]);
  }
  if (total.missing) {
    lines.push(["bad", `${count(total.missing, "event is", "events are")} missing for good: they were no longer kept when the client came back. It was told which.`]);
  }
  if (total.evicted) lines.push(["bad", `${count(total.evicted, "response was", "responses were")} too large to be kept: the client gets an error instead.`]);
  if (total.expired) lines.push(["bad", `${count(total.expired, "stream was", "streams were")} dropped because the client did not come back in time.`]);
  if (total.unread) lines.push(["bad", `${count(total.unread, "response was", "responses were")} lost with the connection, because the client had asked for plain JSON.`]);
  if (replaced) lines.push(["bad", `${count(replaced, "error is", "errors are")} in place of a response.`]);
  if (total.held) lines.push(["warn", `The server had to wait for the client ${times(total.held)}.`]);
  if (total.rejected) lines.push(["warn", `${count(total.rejected, "message was", "messages were")} refused.`]);
  const left = [...deliveries.values()].reduce((sum, delivery) => sum + delivery.missing, 0);
  if (closed) {
    lines.push(["plain", `The session ended: ${closed}.`]);
    if (left) lines.push(["warn", `${count(left, "event")} of it may not have arrived: ${left === 1 ? "it was" : "they were"} not sent before its end, or on a connection that was lost.`]);
    if (left || history.hidesKept) isUncertain = true;
  }
  const isWhole = !total.missing && !total.evicted && !total.expired && !total.unread && !replaced;
  if (isWhole && !isUncertain) lines.push(["good", "Nothing is missing: the client got, or can still get, every message."]);
  return lines;
}

function times(number) {
  return number === 1 ? "once" : `${number} times`;
}
