"""Conversation of an SDK client with the test server."""

import asyncio
from dataclasses import dataclass, field

from checks import check, check_equal, until
from wire import Wire

VERSION = "2025-11-25"
TOOLS = {"echo", "count", "ask", "complete", "poll", "announce"}


class Handlers:
    """Handlers of server requests and log messages."""

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
    """Runs the conversation. `connect` takes the URL, an HTTP client and handlers, and returns a
    context manager that ends the session on exit."""
    wire = Wire(library)
    handlers = Handlers()
    async with wire.client() as http:
        async with connect(url, http, handlers) as client:
            conversation = Conversation(name, wire, client, handlers.logged)
            await initializes(conversation)
            await calls_tools(conversation)
            await receives_log_messages(conversation)
            await answers_server_requests(conversation)
            await calls_concurrently(conversation)
            await polls(conversation)
            await resumes_after_disconnects(conversation)
            await gets_errors(conversation)
        await terminates(conversation, url, http)


async def initializes(it):
    check_equal(f"{it.name} initializes", it.client.version, VERSION)
    check_equal(f"{it.name} gets the server info", it.client.server, "rejoin-test-server")
    await until(
        f"{it.name} opens the standalone stream",
        lambda: any(x.method == "GET" and x.status == 200 for x in it.wire.exchanges),
    )
    check(f"{it.name} has a session", bool(it.wire.exchanges[-1].session), it.wire.exchanges)


async def calls_tools(it):
    tools = await it.client.list()
    check(f"{it.name} lists tools", TOOLS <= set(tools), tools)
    check_equal(f"{it.name} calls", await it.client.call("echo", {"message": "grüße ✓"}), "grüße ✓")
    await counts_with_progress(it.client, 5, 1, f"{it.name} receives progress")


async def counts_with_progress(client, total, interval, text):
    received = []

    async def on_progress(progress, _total, _message):
        received.append(progress)

    result = await client.call("count", {"total": total, "interval_ms": interval}, on_progress)
    check_equal(f"{text}, and the response", result, f"counted to {total}")
    check_equal(f"{text}, each once and in order", received, up_to(total))


async def receives_log_messages(it):
    await it.client.set_level("error")
    await announce(it.client, 1)
    # Longer than the announcement takes, which may follow the response.
    await it.client.call("count", {"total": 1, "interval_ms": 100})
    await it.client.set_level("debug")
    await announce(it.client, 3)
    await until(f"{it.name} receives log messages", lambda: len(it.logged) >= 3)
    text = f"{it.name} receives only messages of the requested level"
    check_equal(text, it.logged, announcements(3))
    it.logged.clear()
    where = [x.method for x in it.wire.exchanges if "announcement 3 of 3" in x.text]
    check_equal(f"{it.name} receives them on the GET stream", where, ["GET"])


async def answers_server_requests(it):
    completed = await it.client.call("complete", {"prompt": "this"})
    check_equal(f"{it.name} samples", completed, "the model said: sampled this")
    asked = await it.client.call("ask", {"question": "that"})
    check_equal(f"{it.name} elicits", asked, "the user said: elicited that")


async def calls_concurrently(it):
    async def do(number):
        text = f"{it.name}, call {number} at once,"
        completed, asked, _ = await asyncio.gather(
            it.client.call("complete", {"prompt": str(number)}),
            it.client.call("ask", {"question": str(number)}),
            counts_with_progress(it.client, 20 + number, 2, f"{text} receives progress"),
        )
        check_equal(f"{text} samples", completed, f"the model said: sampled {number}")
        check_equal(f"{text} elicits", asked, f"the user said: elicited {number}")

    await asyncio.gather(*(do(number) for number in up_to(8)))


async def polls(it):
    before = len(it.wire.resumes())
    result = await it.client.call("poll", {"ms": 300})
    check(f"{it.name} polls", result.endswith("closed meanwhile"), result)
    resumes = it.wire.resumes()[before:]
    check(f"{it.name} resumes for the response", resumes and result in resumes[-1].text, resumes)


async def resumes_after_disconnects(it):
    def cut_at(marker):
        before = len(it.wire.resumes())
        it.wire.cut_at(marker)
        return lambda: it.wire.has_cut and len(it.wire.resumes()) > before

    is_cut_during_call = cut_at(r'"progress":5\b')
    text = f"{it.name}, disconnected during a call, receives progress"
    await counts_with_progress(it.client, 30, 20, text)
    check(f"{it.name} was disconnected during a call and resumed", is_cut_during_call())

    is_cut_on_standalone = cut_at("announcement 5 of 30")
    await announce(it.client, 30, 20)
    await until(
        f"{it.name}, disconnected from the standalone stream, receives the last announcement",
        lambda: "announcement 30 of 30" in it.logged,
    )
    text = f"{it.name} received every announcement once"
    check_equal(text, it.logged, announcements(30))
    text = f"{it.name} was disconnected from the standalone stream and resumed"
    check(text, is_cut_on_standalone())


async def gets_errors(it):
    code = await it.client.error_of("unknown", {})
    check_equal(f"{it.name} gets an error response", code, -32602)


async def terminates(it, url, http):
    ended = [x for x in it.wire.exchanges if x.method == "DELETE"]
    check(f"{it.name} deletes its session", len(ended) == 1 and ended[0].status < 300, ended)
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-session-id": ended[0].session,
    }
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    response = await http.post(url, headers=headers, json=ping)
    check_equal(f"the session of {it.name} no longer exists", response.status_code, 404)


async def announce(client, count, interval=1):
    await client.call("announce", {"count": count, "interval_ms": interval})


def announcements(count):
    return [f"announcement {number} of {count}" for number in up_to(count)]


def up_to(count):
    return list(range(1, count + 1))
