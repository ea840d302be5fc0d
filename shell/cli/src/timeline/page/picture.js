// The picture: a row for each stream, with time from left to right. Long waits are shortened, so
// that every mark has its place, and none is on top of another.

const ROW_HEIGHT = 76;
const AXIS_HEIGHT = 40;
const MARGIN = 14;
const SPACE = 4;
/** Waits of at least this many milliseconds are named on the axis. */
const WAIT_MIN = 1000;
const WAIT_WIDTH = 76;
const TICK_DISTANCE = 96;

/** The line of a row that a mark is on, and its distance from the top. */
const LINES = { request: 13, event: 36, acknowledged: 59, held: 70 };

function lineOf(mark) {
  switch (mark.kind) {
    case "began":
    case "ended":
    case "timed-out":
      return "request";
    case "acknowledged":
      return "acknowledged";
    case "held":
    case "released":
      return "held";
    default:
      return "event";
  }
}

/** Returns the text in a symbol. */
function textOf(mark) {
  switch (mark.kind) {
    case "sent":
      if (mark.class === "priming") return "";
      if (mark.event === null) return "answer";
      return mark.class === "failure" ? `! ${mark.first}` : range(mark);
    case "kept":
      return range(mark);
    case "gap":
      return `${range(mark)} missing`;
    case "acknowledged":
      return mark.whole ? "✓" : `✓${mark.through}`;
    case "before":
      return `1–${mark.last} earlier`;
    case "watched":
      return "page opened";
    case "missing":
      return "… not shown …";
    case "posted":
      return mark.label;
    case "rejected":
      return "refused";
    case "closed":
      return "session ended";
    case "opened":
      return "session opened";
    case "draining":
      return "draining";
    case "dropped":
      return "dropped";
    case "expired":
      return "dropped: too late";
    case "evicted":
      return "too large";
    case "response-lost":
      return "response lost";
    case "stalled":
      return "stalled";
    case "timed-out":
      return "too slow";
    case "process-ended":
      return "process ended";
    default:
      return "";
  }
}

function range({ first, last }) {
  return first === last ? String(first) : `${first}–${last}`;
}

function widthOf(mark) {
  const text = textOf(mark);
  if (text) return Math.max(20, Math.ceil(text.length * 6.4) + 12);
  return mark.kind === "sent" ? 10 : 16;
}

/** Returns where everything is drawn. */
function layOut(history, part, rows, width) {
  const state = history.stateAt(part[0]);
  const marks = history.drawn(part, state);
  const shown = new Set(rows.map((row) => row.name));
  const rightmost = new Map();
  const placed = [];
  const ticks = [];
  const waits = [];
  let x = MARGIN;
  let at = marks.length ? marks[0].at : 0;
  for (const mark of marks) {
    if (!shown.has(mark.row)) continue;
    const line = lineOf(mark);
    const key = `${line} ${mark.row}`;
    const half = widthOf(mark) / 2;
    const wait = Math.max(0, mark.at - at);
    const earliest = x + distance(wait);
    const free = (rightmost.get(key) ?? 0) + SPACE + half;
    const previous = x;
    x = Math.max(earliest, free, MARGIN + half);
    if (wait >= WAIT_MIN) {
      x = Math.max(x, previous + WAIT_WIDTH);
      waits.push({ x: (previous + x) / 2, text: `${duration(wait)} later` });
    }
    rightmost.set(key, x + half);
    placed.push({ mark, line, x, half });
    if (x - (ticks.at(-1)?.x ?? -TICK_DISTANCE) >= TICK_DISTANCE) ticks.push({ x, text: clock(mark.at) });
    at = Math.max(at, mark.until ?? mark.at);
  }
  const right = Math.max(x, ...rightmost.values());
  return { placed, ticks, waits, state, width: Math.max(width, right + 24), end: right + 12 };
}

/** Returns the width of a wait: it grows with its logarithm. */
function distance(ms) {
  return ms <= 0 ? 0 : 3 + 6 * Math.log10(1 + ms * 10);
}

/** Returns the bars of a row: what lasts from one mark to another. */
function barsOf(name, { placed, state, end }) {
  const bars = [];
  const before = state.row(name);
  const open = { connection: null, held: null, requests: new Map() };
  const isFixed = name === "standalone";
  if (before.connection !== null) open.connection = { from: 0, id: before.connection };
  if (before.held) open.held = { from: 0 };
  for (const request of before.pending) open.requests.set(request, 0);
  let life = isFixed || before.connection !== null || before.pending.size > 0 ? { from: 0, to: 0 } : null;
  const endConnection = (to, how) => {
    if (!open.connection) return;
    bars.push({ what: "connection", line: "event", from: open.connection.from, to, id: open.connection.id, how });
    open.connection = null;
  };
  for (const { mark, x } of placed) {
    if (mark.kind === "watched") {
      const now = mark.streams.find((stream) => stream.row === name);
      if (open.connection?.id !== now?.connection) endConnection(x, "unknown");
      if (now && now.connection !== null) open.connection ??= { from: x, id: now.connection };
      if (now?.held) open.held ??= { from: x };
      for (const { row, request } of mark.pending) {
        if (row === name && !open.requests.has(request)) open.requests.set(request, x);
      }
      if (now && (now.connection !== null || now.pending)) life ??= { from: x, to: x };
    }
    if (mark.row !== name) continue;
    if (name !== "session") life = { from: life?.from ?? x, to: x };
    switch (mark.kind) {
      case "attached":
      case "resumed":
        endConnection(x, "replaced");
        open.connection = { from: x, id: mark.connection };
        break;
      case "lost":
      case "cut":
      case "ends":
        if (open.connection?.id === mark.connection) endConnection(x, mark.kind);
        break;
      case "held":
        open.held ??= { from: x };
        break;
      case "released":
        if (open.held) bars.push({ what: "held", line: "held", from: open.held.from, to: x });
        open.held = null;
        break;
      case "began":
        open.requests.set(mark.request, x);
        break;
      case "ended": {
        const from = open.requests.get(mark.request);
        if (from !== undefined) bars.push({ what: "request", line: "request", from, to: x });
        open.requests.delete(mark.request);
        break;
      }
    }
  }
  endConnection(end, "open");
  if (open.held) bars.push({ what: "held", line: "held", from: open.held.from, to: end });
  for (const from of open.requests.values()) bars.push({ what: "request", line: "request", from, to: end, how: "open" });
  if (life) bars.unshift({ what: "life", line: "event", from: life.from, to: isFixed || open.requests.size ? end : life.to });
  return bars;
}

/** Draws a part of a history. Returns the picture; `onSelect` is called with the number of a mark. */
function draw(history, part, rows, width, onSelect) {
  const layout = layOut(history, part, rows, width);
  const height = AXIS_HEIGHT + rows.length * ROW_HEIGHT;
  const picture = svg("svg", {
    id: "picture", width: layout.width, height, viewBox: `0 0 ${layout.width} ${height}`,
    role: "img", "aria-labelledby": "picture-title picture-description",
  },
    svg("title", { id: "picture-title" }, "Timeline of the session"),
    svg("desc", { id: "picture-description" },
      `${count(rows.length, "row")}, ${count(layout.placed.length, "mark")}. The table below has the same as text.`),
    svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "hatch" }))));
  picture.append(axis(layout, height));
  const top = new Map();
  rows.forEach((row, number) => {
    const y = AXIS_HEIGHT + number * ROW_HEIGHT;
    top.set(row.name, y);
    const group = svg("g", { class: "row", "data-row": row.name });
    group.append(svg("rect", { class: number % 2 ? "band odd" : "band", x: 0, y, width: layout.width, height: ROW_HEIGHT }));
    for (const bar of barsOf(row.name, layout)) group.append(drawBar(bar, y));
    picture.append(group);
  });
  for (const { mark, x } of layout.placed) {
    if (mark.kind === "watched") picture.append(svg("line", { class: "watched", x1: x, x2: x, y1: AXIS_HEIGHT + LINES.event + 10, y2: height }));
  }
  layout.placed.forEach(({ mark, line, x, half }, number) => {
    const y = top.get(mark.row) + LINES[line];
    const group = symbol(mark, x, y, half);
    group.setAttribute("data-number", number);
    group.prepend(svg("title", {}, sentence(mark)));
    group.addEventListener("click", () => onSelect(number));
    picture.querySelector(`g.row[data-row="${mark.row}"]`).append(group);
  });
  return { picture, placed: layout.placed };
}

function axis({ ticks, waits, width }, height) {
  const group = svg("g", { class: "axis", "aria-hidden": "true" });
  for (const { x, text } of ticks) {
    group.append(svg("line", { x1: x, x2: x, y1: 18, y2: height }));
    const anchor = x > width - 60 ? "end" : "start";
    group.append(svg("text", { x: anchor === "end" ? x - 3 : x + 3, y: 14, "text-anchor": anchor }, text));
  }
  for (const { x, text } of waits) {
    group.append(svg("text", { x, y: 32, class: "wait", "text-anchor": "middle" }, text));
  }
  return group;
}

function drawBar({ what, line, from, to, how, id }, y) {
  const middle = y + LINES[line];
  const width = Math.max(0, to - from);
  switch (what) {
    case "life":
      return svg("line", { class: "life", x1: from, x2: to, y1: middle, y2: middle });
    case "request":
      return svg("line", { class: `request ${how ?? ""}`, x1: from, x2: to, y1: middle, y2: middle });
    case "held":
      return svg("rect", { class: "held", x: from, y: middle - 3, width, height: 6, rx: 3 });
    default:
      return svg("rect", { class: `connection ${how}`, "data-connection": id, x: from, y: middle - 13, width, height: 26, rx: 4 });
  }
}

/** Draws the symbol of a mark around a point. */
function symbol(mark, x, y, half) {
  const classes = ["mark", mark.kind, mark.class ?? "", mark.again ? "again" : "", mark.last > mark.first ? "run" : ""];
  const group = svg("g", {
    class: classes.filter(Boolean).join(" "), "data-kind": mark.kind, "data-at": mark.at, "data-row": mark.row ?? null,
  });
  group.append(...shapes(mark, x, y, half));
  const text = textOf(mark);
  if (text) group.append(svg("text", { x, y: y + 3.5, "text-anchor": "middle" }, text));
  return group;
}

function shapes(mark, x, y, half) {
  const box = (rx, inset = 0) => svg("rect", {
    class: "shape", x: x - half + inset, y: y - 9 + inset, width: 2 * (half - inset), height: 18 - 2 * inset, rx,
  });
  const path = (d) => svg("path", { class: "shape", d });
  switch (mark.kind) {
    case "sent":
      if (mark.class === "priming") return [svg("circle", { class: "shape", cx: x, cy: y, r: 3.5 })];
      if (mark.class === "failure") return [path(`M${x - half} ${y} L${x - half + 7} ${y - 10} H${x + half - 7} L${x + half} ${y} L${x + half - 7} ${y + 10} H${x - half + 7} Z`)];
      if (mark.again) return [box(9), svg("rect", { class: "inner", x: x - half + 3, y: y - 6, width: 2 * half - 6, height: 12, rx: 6 })];
      return [box(mark.class === "response" ? 2 : 9)];
    case "kept":
      return [box(9)];
    case "acknowledged":
      return [];
    case "began":
      return [path(`M${x - 4} ${y - 5} L${x + 5} ${y} L${x - 4} ${y + 5} Z`)];
    case "ended":
      return mark.outcome === "result"
        ? [svg("rect", { class: "shape", x: x - 4.5, y: y - 4.5, width: 9, height: 9 })]
        : [path(`M${x - 4} ${y - 4} L${x + 4} ${y + 4} M${x + 4} ${y - 4} L${x - 4} ${y + 4}`)];
    case "attached":
      return [svg("circle", { class: "shape", cx: x, cy: y, r: 6.5 }), path(`M${x - 2} ${y - 3} L${x + 3} ${y} L${x - 2} ${y + 3} Z`)];
    case "shadow":
      return [svg("circle", { class: "shape", cx: x, cy: y, r: 6.5 })];
    case "resumed":
      return [svg("circle", { class: "shape", cx: x, cy: y, r: 6.5 }),
        path(`M${x + 2.5} ${y - 3} A3.6 3.6 0 1 0 ${x + 3.6} ${y + 0.8} M${x + 3.4} ${y - 5} V${y - 2.2} H${x + 0.6}`)];
    case "lost":
      return [path(`M${x - 5} ${y - 6} L${x + 5} ${y + 6} M${x + 5} ${y - 6} L${x - 5} ${y + 6}`)];
    case "cut":
      return [path(`M${x - 4} ${y + 8} L${x} ${y - 8} M${x} ${y + 8} L${x + 4} ${y - 8}`)];
    case "ends":
      return [svg("rect", { class: "shape", x: x - 2, y: y - 7, width: 4, height: 14 })];
    case "held":
    case "released":
      return [svg("rect", { class: "shape", x: x - 4, y: y - 4, width: 8, height: 8, rx: 2 })];
    default:
      return [box(3)];
  }
}
