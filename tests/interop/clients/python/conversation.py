"""What a client of any SDK does with the demo server."""

import asyncio
from dataclasses import dataclass, field

from facts import fact, same_fact, until
from wire import Wire

VERSION = "2025-11-25"
TOOLS = {"echo", "count", "ask", "complete", "poll", "announce", "nap"}


class Handlers:
    """What the client does when the server asks or tells something."""

    def __init__(self):
        self.logged = []

    def sample(self, prompt):
        return f"sampled {prompt}"

    def elicit(self, question):
        return f"elicited {question}"

    def log(self, data):
        self.logged.append(data)


@dataclass
class Conversation:
    name: str
    wire: Wire
    client: object
    logged: list = field(default_factory=list)


async def converse(name, library, url, connect):
    """Holds a conversation; `connect` is given the address, an HTTP client and handlers,
    and is a context whose end is that of the session."""
    wire = Wire(library)
    handlers = Handlers()
    async with wire.client() as http:
        async with connect(url, http, handlers) as client:
            conversation = Conversation(name, wire, client, handlers.logged)
            await begins(conversation)
            await calls(conversation)
            await hears(conversation)
            await is_asked(conversation)
            await does_all_at_once(conversation)
            await polls(conversation)
            await is_cut_off(conversation)
            await is_refused(conversation)
        await ends(conversation, url, http)


async def begins(it):
    same_fact(f"{it.name} initializes", it.client.version, VERSION)
    same_fact(f"{it.name} learns who the server is", it.client.server, "rejoin-demo")
    await until(
        f"{it.name} opens the standalone stream",
        lambda: any(x.method == "GET" and x.status == 200 for x in it.wire.exchanges),
    )
    fact(f"{it.name} has a session", bool(it.wire.exchanges[-1].session), it.wire.exchanges)


async def calls(it):
    tools = await it.client.list()
    fact(f"{it.name} lists tools", TOOLS <= set(tools), tools)
    same_fact(f"{it.name} calls", await it.client.call("echo", {"message": "grüße ✓"}), "grüße ✓")
    await counts(it.client, 5, 1, f"{it.name} hears progress")


async def counts(client, total, interval, text):
    heard = []

    async def hear(progress, _total, _message):
        heard.append(progress)

    said = await client.call("count", {"total": total, "interval_ms": interval}, hear)
    same_fact(f"{text}, and the answer", said, f"counted to {total}")
    same_fact(f"{text}, each once and in order", heard, up_to(total))


async def hears(it):
    await it.client.set_level("error")
    await announce(it.client, 1)
    # Longer than the announcement takes.
    await it.client.call("nap", {"ms": 100})
    await it.client.set_level("debug")
    await announce(it.client, 3)
    await until(f"{it.name} hears log messages", lambda: len(it.logged) >= 3)
    same_fact(f"{it.name} hears those that it wants", it.logged, announcements(3))
    it.logged.clear()
    where = [x.method for x in it.wire.exchanges if "announcement 3 of 3" in x.text]
    same_fact(f"{it.name} hears them by GET", where, ["GET"])


async def is_asked(it):
    completed = await it.client.call("complete", {"prompt": "this"})
    same_fact(f"{it.name} samples", completed, "the model said: sampled this")
    asked = await it.client.call("ask", {"question": "that"})
    same_fact(f"{it.name} elicits", asked, "the user said: elicited that")


async def does_all_at_once(it):
    async def do(number):
        text = f"{it.name}, call {number} at once,"
        completed, asked, _ = await asyncio.gather(
            it.client.call("complete", {"prompt": str(number)}),
            it.client.call("ask", {"question": str(number)}),
            counts(it.client, 20 + number, 2, f"{text} hears progress"),
        )
        same_fact(f"{text} samples", completed, f"the model said: sampled {number}")
        same_fact(f"{text} elicits", asked, f"the user said: elicited {number}")

    await asyncio.gather(*(do(number) for number in up_to(8)))


async def polls(it):
    before = len(it.wire.resumes())
    said = await it.client.call("poll", {"ms": 300})
    fact(f"{it.name} polls", said.endswith("closed meanwhile"), said)
    resumes = it.wire.resumes()[before:]
    fact(f"{it.name} comes back for the answer", resumes and said in resumes[-1].text, resumes)


async def is_cut_off(it):
    def cut_at(marker):
        before = len(it.wire.resumes())
        it.wire.cut_at(marker)
        return lambda: it.wire.has_cut and len(it.wire.resumes()) > before

    is_cut_in_call = cut_at(r'"progress":5\b')
    await counts(it.client, 30, 20, f"{it.name}, cut off in a call, hears progress")
    fact(f"{it.name} was cut off in a call, and resumed", is_cut_in_call())

    is_cut_outside = cut_at("announcement 5 of 30")
    await announce(it.client, 30, 20)
    await until(
        f"{it.name}, cut off from the standalone stream, hears the end",
        lambda: "announcement 30 of 30" in it.logged,
    )
    text = f"{it.name} missed nothing and heard nothing twice"
    same_fact(text, it.logged, announcements(30))
    text = f"{it.name} was cut off from the standalone stream, and resumed"
    fact(text, is_cut_outside())


async def is_refused(it):
    code = await it.client.error_of("unknown", {})
    same_fact(f"{it.name} is told of an error", code, -32602)


async def ends(it, url, http):
    ended = [x for x in it.wire.exchanges if x.method == "DELETE"]
    fact(f"{it.name} ends its session", len(ended) == 1 and ended[0].status < 300, ended)
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-session-id": ended[0].session,
    }
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    response = await http.post(url, headers=headers, json=ping)
    same_fact(f"the session of {it.name} is no more", response.status_code, 404)


async def announce(client, count, interval=1):
    await client.call("announce", {"count": count, "interval_ms": interval})


def announcements(count):
    return [f"announcement {number} of {count}" for number in up_to(count)]


def up_to(count):
    return list(range(1, count + 1))
