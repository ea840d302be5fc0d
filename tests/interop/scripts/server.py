"""A stdio server with tools that misbehave.

Tools:
- `late`: sends progress every 20 ms for `ms`, then the response
- `cancelled`: sends three progress notifications, waits for its cancellation, and goes on like
  `late`
- `answered`: sends the response, then five progress notifications
- `count`: sends `total` progress notifications, each after `interval_ms` and with its time of
  sending as message, then the response
- `log`: sends the response, then log messages in the same way, which are related to no request
- `flood`: sends `total` progress notifications without a pause, with `bytes` of text, then the
  response
"""

import json
import sys
import threading
import time

TOOLS = ["late", "cancelled", "answered", "count", "log", "flood"]

lock = threading.Lock()
# Calls of `cancelled`, by request id: set when the cancellation arrives.
cancellations = {}


def send(**message):
    line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
    with lock:
        sys.stdout.write(line)
        sys.stdout.flush()


def progress(token, number, **more):
    params = {"progressToken": token, "progress": number, **more}
    send(method="notifications/progress", params=params)


def respond(call, text):
    send(id=call, result={"content": [{"type": "text", "text": text}]})


def late(call, token, ms, first=1):
    for number in range(first, first + ms // 20):
        time.sleep(0.02)
        progress(token, number)
    respond(call, "late")


def cancelled(call, token, ms):
    for number in range(1, 4):
        progress(token, number)
    cancellations[call].wait()
    late(call, token, ms, first=4)


def answered(call, token):
    respond(call, "answered")
    for number in range(1, 6):
        time.sleep(0.02)
        progress(token, number)


def count(call, token, total, interval_ms):
    for number in range(1, total + 1):
        time.sleep(interval_ms / 1000)
        progress(token, number, message=str(time.time()))
    respond(call, f"counted to {total}")


def log(call, _token, total, interval_ms):
    respond(call, "logged")
    for number in range(1, total + 1):
        time.sleep(interval_ms / 1000)
        data = {"number": number, "sent": time.time()}
        send(method="notifications/message", params={"level": "info", "data": data})


def flood(call, token, total, bytes):
    text = "x" * bytes
    for number in range(1, total + 1):
        progress(token, number, message=text)
    respond(call, f"flooded with {total}")


def call_tool(call, params):
    token = params.get("_meta", {}).get("progressToken")
    tools = [late, cancelled, answered, count, log, flood]
    tool = next(tool for tool in tools if tool.__name__ == params["name"])
    cancellations[call] = threading.Event()
    work = lambda: tool(call, token, **params.get("arguments", {}))
    threading.Thread(target=work, daemon=True).start()


def handle(message):
    call, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if method == "initialize":
        send(
            id=call,
            result={
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "interop-server", "version": "1"},
            },
        )
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        send(id=call, result={"tools": tools})
    elif method == "tools/call":
        call_tool(call, params)
    elif method == "notifications/cancelled" and params["requestId"] in cancellations:
        cancellations[params["requestId"]].set()
    elif method is not None and call is not None:
        send(id=call, result={})


for line in sys.stdin:
    handle(json.loads(line))
