"""Probes of gateways. Each returns the text of its cell in the table."""

import http.client
import os
import signal
import time

from client import Client

LIST_CHANGED = "notifications/resources/list_changed"


class Subject:
    """A running gateway and its tool name prefix."""

    def __init__(self, running):
        self.running = running
        self.prefix = running.system.prefix

    def client(self, **options):
        return Client(self.running.port, self.running.system.path, **options).initialize()

    def tool(self, name):
        return self.prefix + name


def last_id(events):
    return next((event["id"] for event in reversed(events) if event["id"]), None)


def is_progress(event, token=None):
    message = event["message"]
    if not isinstance(message, dict) or message.get("method") != "notifications/progress":
        return False
    return token is None or message["params"]["progressToken"] == token


def is_gap(event):
    return "events are missing" in event["text"]


def resume(client, events, seconds=3):
    """Resumes after the last event id, if there was one. Returns None on an error."""
    try:
        return client.get(last_id(events), timeout=seconds)
    except OSError:
        return None


def resume_after_the_call(subject):
    """The connection is lost during a call, the call ends, then the client resumes."""
    client = subject.client()
    tool = subject.tool("wait")
    request, events = client.call_and_drop(tool, after=0.7, token="t", ms=1500, text="here")
    time.sleep(2)
    resumed = resume(client, events)
    response = resumed and resumed.response_to(request, 3)
    if response and "result" in response:
        return "delivered"
    why = "" if last_id(events) else ", no event id to resume from"
    return "lost" + why


def resume_during_the_call(subject):
    """The connection is lost during a call, and the client resumes before the call ends."""
    client = subject.client()
    tool = subject.tool("wait")
    request, events = client.call_and_drop(tool, after=0.7, token="t", ms=3000, text="here")
    if not last_id(events):
        return "lost, no event id to resume from"
    resumed = resume(client, events, 6)
    response = resumed and resumed.response_to(request, 6)
    return "delivered" if response and "result" in response else "lost"


def replay_of_a_burst(subject):
    """5,000 progress events are sent while the client is disconnected."""
    client = subject.client()
    tool = subject.tool("burst")
    request, events = client.call_and_drop(tool, after=0.7, token="t", ms=1500, count=5000)
    time.sleep(5)
    resumed = resume(client, events)
    if not last_id(events):
        return "all lost, no event id to resume from"
    if resumed is None:
        return "all lost, no response"
    if resumed.status != 200:
        return f"all lost, {resumed.status}"
    got, response = [], None
    end = time.monotonic() + 5
    while response is None and time.monotonic() < end:
        event = resumed.next(1)
        if event is None:
            break
        got.append(event)
        message = event["message"]
        is_response = isinstance(message, dict) and message.get("id") == request
        response = message if is_response and "method" not in message else None
    replayed = sum(is_progress(event, "t") for event in got)
    gap = "gap reported" if any(map(is_gap, got)) else "gap not reported"
    outcome = "response delivered" if response and "result" in response else "response lost"
    gap = "" if replayed == 5000 else f", {gap}"
    return f"{replayed:,} replayed{gap}, {outcome}"


def early_notification(subject):
    """A notification is sent before the client opens a GET stream."""
    client = subject.client()
    client.call(subject.tool("announce"), ms=200)
    time.sleep(1)
    stream = resume(client, [], 2)
    if stream is None or stream.status != 200:
        return "lost"
    matches = lambda event: (event["message"] or {}).get("method") == LIST_CHANGED
    return "delivered" if stream.find(matches, 2) else "lost"


def second_get(subject):
    """A second GET stream is opened, then the first one is lost."""
    client = subject.client()
    first = resume(client, [], 2)
    second = resume(client, [], 2)
    if second is None:
        return "no response"
    if second.status != 200:
        return str(second.status)
    first and first.drop()
    time.sleep(0.3)
    client.call(subject.tool("announce"), ms=200)
    matches = lambda event: (event["message"] or {}).get("method") == LIST_CHANGED
    return "200, takes over" if second.find(matches, 3) else "200, stays silent"


def unknown_event_id(subject):
    """`Last-Event-ID` is not an event id."""
    client = subject.client()
    try:
        status = client.get("no such event").status
    except OSError:
        return "no response"
    return "200, ignored" if status == 200 else str(status)


def foreign_host(subject):
    client = subject.client()
    try:
        answer = client.send("POST", client.request("ping", {}), {"host": "evil.example"})
    except OSError:
        return "no response"
    return str(answer.status)


def foreign_origin(subject):
    client = subject.client()
    headers = {"origin": "https://evil.example"}
    answer = client.send("POST", client.request("ping", {}), headers)
    allowed = answer.headers.get("access-control-allow-origin")
    return f"{answer.status}, readable by any page" if allowed else str(answer.status)


def duplicate_request_id(subject):
    """Two pending calls have the same request id."""
    client = subject.client()
    tool = subject.tool("wait")
    first = client.call_in_background(tool, ms=1500, text="first", timeout=5)
    time.sleep(0.4)
    client.next_id -= 1
    second = client.call_in_background(tool, ms=100, text="second", timeout=5)
    request = client.next_id - 1
    results = [read_background_response(result, request) for result in (first, second)]
    first, second = map(text_of, results)
    return f"first: {first}, second: {second}"


def read_background_response(result, request):
    answer = result.get()
    return answer.response_to(request, 5) if not isinstance(answer, Exception) else None


def text_of(response):
    if response is None:
        return "never answered"
    if "error" in response:
        return "rejected"
    return "its response" if response["result"].get("content") else "a response without content"


def killed_server(subject):
    """The server is killed during a call; then a new session is created."""
    client = subject.client()
    answer = client.call(subject.tool("pid"))
    pid = int(answer.response_to(answer.request_id, 5)["result"]["content"][0]["text"])
    waiting = client.call_in_background(subject.tool("wait"), ms=8000, timeout=6)
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    response = read_background_response(waiting, client.next_id - 1)
    seconds = time.monotonic() - start
    call = f"error after {seconds:.1f} s" if response else "never answered"
    return f"call: {call}; new session: {new_session(subject)}"


def new_session(subject):
    try:
        client = subject.client()
        answer = client.call(subject.tool("wait"), text="again", timeout=5)
        response = answer.response_to(answer.request_id, 5)
    except (OSError, RuntimeError, http.client.HTTPException):
        return "fails"
    is_success = response and "result" in response and not response["result"].get("isError")
    return "works" if is_success else "fails"


def sigterm(subject):
    """The gateway gets SIGTERM during a call that would end within two seconds."""
    client = subject.client()
    waiting = client.call_in_background(subject.tool("wait"), ms=2000, timeout=8)
    time.sleep(0.6)
    subject.running.terminate()
    response = read_background_response(waiting, client.next_id - 1)
    if response is None:
        return "cut without a response"
    return "answered" if "result" in response else "error"


def sampling(subject):
    """The server sends a sampling request during a call."""
    client = subject.client(capabilities={"sampling": {}})
    stream = resume(client, [], 2)
    waiting = client.call_in_background(subject.tool("ask"), timeout=8)
    matches = lambda event: (event["message"] or {}).get("method") == "sampling/createMessage"
    request, where = None, "on the stream of the call"
    end = time.monotonic() + 4
    while request is None and time.monotonic() < end:
        if not waiting.empty():
            answer = waiting.get()
            if isinstance(answer, Exception):
                return "refused"
            request = answer.find(matches, 2)
            if request is None:
                return "refused"
        elif stream is not None and any(map(matches, stream.events)):
            request, where = next(filter(matches, stream.events)), "on the GET"
        else:
            time.sleep(0.05)
    if request is None:
        return "refused"
    result = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "42"}}
    client.send("POST", {"jsonrpc": "2.0", "id": request["message"]["id"], "result": result})
    return f"relayed, {where}"


def concurrent_progress(subject):
    """Two concurrent calls send progress."""
    client = subject.client()
    tool = subject.tool("burst")
    calls = [client.call_in_background(tool, token=token, ms=700, count=3) for token in ("a", "b")]
    time.sleep(2.5)
    got = []
    for result, token in zip(calls, ("a", "b")):
        answer = result.get()
        events = [] if isinstance(answer, Exception) else answer.events
        own = sum(is_progress(event, token) for event in events)
        other = sum(is_progress(event) for event in events) - own
        got.append((own, other))
    if all(own == 4 and not other for own, other in got):
        return "each on its own stream"
    if not any(own or other for own, other in got):
        return "not forwarded"
    own, other = (sum(column) for column in zip(*got))
    return f"{own} of 8 on their own stream, {other} on the other's"


def other_session(subject):
    """A notification for one session may also reach the GET stream of another."""
    client, other = subject.client(), subject.client()
    stream = resume(client, [], 2)
    if stream is None or stream.status != 200:
        return f"no GET ({stream.status if stream else 'no response'})"
    other.call(subject.tool("announce"), ms=200)
    matches = lambda event: (event["message"] or {}).get("method") == LIST_CHANGED
    return "sent to it, too" if stream.find(matches, 2) else "not sent to it"


ALL = {
    "connection lost during a call, the call completes, the client resumes": resume_after_the_call,
    "the client resumes before the call completes": resume_during_the_call,
    "5,000 progress events while the client is away": replay_of_a_burst,
    "notification before the GET is open": early_notification,
    "second GET": second_get,
    "unknown `Last-Event-ID`": unknown_event_id,
    "foreign `Host`": foreign_host,
    "foreign `Origin`": foreign_origin,
    "the same id in two pending calls": duplicate_request_id,
    "server killed (`kill -9`) during a call": killed_server,
    "SIGTERM to the gateway during a call": sigterm,
    "sampling request of the server": sampling,
    "progress of two concurrent calls": concurrent_progress,
    "notification of another session": other_session,
}
