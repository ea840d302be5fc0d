// What each mark means, in words.

/** Why a connection was closed in order. */
const ENDS = {
  "complete": "everything was sent, so the connection was closed",
  "cancelled": "the client had cancelled, so the connection was closed",
  "abandoned": "the server gave up the stream, so the connection was closed",
  "requested": "the client was asked to come back later, so the connection was closed; nothing is lost",
  "too-many-shadows": "the client had too many spare connections, so the oldest was closed",
  "session-closed": "the session has ended, so the connection was closed",
};

const CUTS = {
  "replaced": "the client came back on another connection, so this one was given up",
  "stalled": "the client read nothing for too long, so the connection was cut",
};

const OUTCOMES = {
  "result": "was answered",
  "error": "was answered with an error",
  "too-large": "failed: the response was too large to be kept",
  "backend-lost": "failed: the server has ended",
  "cancelled": "was cancelled by the client",
  "abandoned": "was abandoned by the server",
  "orphaned": "was cancelled: its client did not come back for it in time",
  "session-closed": "failed: the session ended",
  "timed-out": "failed: the server took too long",
};

/** Returns "event 3", or "events 3 to 7". */
function events(first, last) {
  return first === last ? `event ${first}` : `events ${first} to ${last}`;
}

function request(mark) {
  return mark.name ? `request ${mark.request} (${mark.name})` : `request ${mark.request}`;
}

/** Returns a mark, or a run of marks, as a sentence. */
function sentence(mark) {
  const on = `connection ${mark.connection}`;
  switch (mark.kind) {
    case "opened": {
      const by = mark.client ? ` by ${mark.client}` : "";
      const revision = mark.revision ? `, revision ${mark.revision} of MCP` : "";
      return `The session was opened${by}${revision}.`;
    }
    case "draining":
      return "rejoin shuts down, or this server is replaced: the session takes no new requests, finishes what it has begun, and then ends.";
    case "closed":
      return `The session ended: ${mark.reason}.`;
    case "rejected": {
      const fault = { client: "the client made a mistake", server: "the server made a mistake",
        rejoin: "this is a bug in rejoin", nobody: "nobody is at fault" }[mark.by];
      return `Refused: ${mark.input}. ${capital(mark.reason)} (${fault}).`;
    }
    case "posted":
      return `The client sent a message that is no request: ${mark.label}.`;
    case "began":
      return `The client sent ${request(mark)}; it was passed on to the server.`;
    case "ended":
      return `Request ${mark.request} ${OUTCOMES[mark.outcome]}.`;
    case "attached":
      return {
        "post": `The response to the request begins on ${on}.`,
        "get": `The client opened ${on} to listen to the server.`,
        "promotion": `The spare ${on} takes over.`,
      }[mark.by];
    case "shadow":
      return `The client opened a second connection, ${mark.connection}: it is a spare, and gets events when the first one is lost.`;
    case "resumed":
      return resumed(mark);
    case "sent":
      return sent(mark);
    case "kept": {
      if (mark.class === "failure") {
        return `An error is kept for the client in place of a response, as ${events(mark.first, mark.last)}: ${mark.label}.`;
      }
      const what = mark.first === mark.last ? `${events(mark.first, mark.last)} (${mark.label})` : events(mark.first, mark.last);
      return mark.absent
        ? `The server sent ${what} while no connection was there: kept until the client comes back.`
        : `The server sent ${what} faster than the client reads: kept until it has read more.`;
    }
    case "gap":
      return `${capital(events(mark.first, mark.last))} ${mark.first === mark.last ? "is" : "are"} missing: no longer kept when the client came back. It was told so.`;
    case "acknowledged":
      return mark.whole ? "The client has taken the answer." : `The client has taken everything through event ${mark.through}.`;
    case "lost": {
      const taken = mark.through ? `after the client had taken event ${mark.through}` : "before the client had taken anything";
      const way = mark.in_flight ? `; ${count(mark.in_flight, "event was", "events were")} on the way` : "";
      return `Connection ${mark.connection} was lost ${taken}${way}.`;
    }
    case "ends":
      return `${capital(ENDS[mark.reason])} (${mark.connection}).`;
    case "cut":
      return `${capital(CUTS[mark.reason])} (${mark.connection}).`;
    case "held":
      return "The server has to wait: the client reads more slowly than the server sends, and what is kept for it has reached half of its limit.";
    case "released":
      return "The server may go on.";
    case "timed-out":
      return `The server took too long to answer request ${mark.request}.`;
    case "expired":
      return "The client did not come back in time: what was kept for it was dropped.";
    case "stalled":
      return `The client has read nothing on ${on} for long: the server no longer waits for it.`;
    case "evicted":
      return `The response to request ${mark.request} was too large to be kept: the client gets an error in its place.`;
    case "response-lost":
      return "The connection was lost with the response on it. It was plain JSON, so the client cannot come back for it.";
    case "dropped":
      return `A message was dropped: ${mark.reason}.`;
    case "process-ended":
      return "The process of the server has ended, or has closed its output, before the session ended.";
    case "watched":
      return "This page was opened: from here on, it shows everything. Of the time before, it only has what went wrong.";
    case "before":
      return before(mark);
    case "missing":
      return "Too much happened for this page: marks are missing here. The client is not affected.";
    default:
      return mark.kind;
  }
}

function resumed(mark) {
  const asked = mark.after === 0
    ? "asked for everything since the beginning"
    : `asked for what follows event ${mark.after}`;
  const parts = [];
  if (mark.again === null) {
    if (mark.replayed) parts.push(`${count(mark.replayed, "event was", "events were")} sent`);
  } else {
    const fresh = mark.replayed - mark.again;
    if (mark.again) parts.push(`${count(mark.again, "event was", "events were")} sent again`);
    if (fresh) parts.push(`${count(fresh, "event that came meanwhile was", "events that came meanwhile were")} sent for the first time`);
  }
  const got = parts.length ? parts.join(", and ") : "nothing was waiting";
  return `The client came back on connection ${mark.connection} and ${asked}: ${got}.`;
}

function sent(mark) {
  const again = mark.again ? " again, because it may not have arrived" : "";
  if (mark.first !== mark.last) {
    return `${count(mark.last - mark.first + 1, "event")} (${mark.first} to ${mark.last}) were sent to the client${mark.again ? " again, because they may not have arrived" : ""}.`;
  }
  const event = mark.event === null ? "" : ` as event ${mark.event}`;
  switch (mark.class) {
    case "priming":
      return `The client was given the position ${mark.event}, from which it can come back.`;
    case "response":
      return `The ${mark.label} was sent to the client${event}${again}.`;
    case "failure":
      return `An error was sent to the client in place of a response${event}${again}: ${mark.label}.`;
    case "request":
      return `The server asks the client for something: its ${mark.label} was sent${event}${again}.`;
    default:
      return `A message of the server (${mark.label}) was sent to the client${event}${again}.`;
  }
}

function before(mark) {
  const parts = [`There were ${count(mark.last, "event")} before this page was opened`];
  if (mark.acknowledged) parts.push(`the client has taken them through ${mark.acknowledged}`);
  if (mark.logged) parts.push(`${count(mark.logged, "is", "are")} still kept`);
  return `${parts.join("; ")}.`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The rows of the legend: a mark for the symbol, and what it means. */
const LEGEND = [
  [{ kind: "sent", class: "message", first: 3, last: 3 }, "an event was sent to the client; the number is its position in the stream"],
  [{ kind: "sent", class: "message", first: 3, last: 9 }, "several events in a row"],
  [{ kind: "sent", class: "message", first: 3, last: 3, again: true }, "sent again, because it may not have arrived"],
  [{ kind: "sent", class: "response", first: 4, last: 4 }, "the response to a request"],
  [{ kind: "sent", class: "failure", first: 4, last: 4 }, "an error in place of a response that can never come"],
  [{ kind: "sent", class: "priming", first: 0, last: 0 }, "a position without a message, so that the client can come back"],
  [{ kind: "kept", first: 5, last: 5 }, "an event that could not be sent yet: it is kept"],
  [{ kind: "gap", first: 3, last: 9 }, "events that are missing, because they were no longer kept"],
  [{ kind: "acknowledged", through: 7 }, "the client has taken everything through this event"],
  [{ kind: "began" }, "a request of the client was passed on to the server"],
  [{ kind: "ended", outcome: "result" }, "the request was answered"],
  [{ kind: "ended", outcome: "error" }, "the request ended in another way: error, cancelled, failed"],
  [{ kind: "attached" }, "a connection begins (the bar lasts as long as it is open)"],
  [{ kind: "resumed" }, "the client came back, and said what it had got"],
  [{ kind: "lost" }, "the connection was lost"],
  [{ kind: "cut" }, "rejoin cut the connection"],
  [{ kind: "ends" }, "the connection was closed in order"],
  [{ kind: "held" }, "the server has to wait for the client (until the bar ends)"],
];
