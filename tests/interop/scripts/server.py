"""A server on stdin and stdout that a test can ask for what a well-behaved server does not do.

Its tools:
- `late`: progress every 20 ms for `ms`, also after it is cancelled, and then the answer
- `answered`: the answer first, and then five times progress
- `count`: progress `total` times, each after `interval_ms`, with the time of sending as its
  message, and then the answer
- `log`: the answer, and then log messages in the same way, which belong to no call
- `flood`: progress `total` times without a pause, with `bytes` of text, and the answer
"""

import json
import sys
import threading
import time

TOOLS = ["late", "answered", "count", "log", "flood"]

lock = threading.Lock()


def say(**message):
    line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
    with lock:
        sys.stdout.write(line)
        sys.stdout.flush()


def progress(token, number, **more):
    params = {"progressToken": token, "progress": number, **more}
    say(method="notifications/progress", params=params)


def answer(call, text):
    say(id=call, result={"content": [{"type": "text", "text": text}]})


def late(call, token, ms):
    for number in range(1, ms // 20 + 1):
        time.sleep(0.02)
        progress(token, number)
    answer(call, "late")


def answered(call, token):
    answer(call, "answered")
    for number in range(1, 6):
        time.sleep(0.02)
        progress(token, number)


def count(call, token, total, interval_ms):
    for number in range(1, total + 1):
        time.sleep(interval_ms / 1000)
        progress(token, number, message=str(time.time()))
    answer(call, f"counted to {total}")


def log(call, _token, total, interval_ms):
    answer(call, "logged")
    for number in range(1, total + 1):
        time.sleep(interval_ms / 1000)
        data = {"number": number, "sent": time.time()}
        say(method="notifications/message", params={"level": "info", "data": data})


def flood(call, token, total, bytes):
    text = "x" * bytes
    for number in range(1, total + 1):
        progress(token, number, message=text)
    answer(call, f"flooded with {total}")


def called(call, params):
    token = params.get("_meta", {}).get("progressToken")
    tools = {"late": late, "answered": answered, "count": count, "log": log, "flood": flood}
    tool = tools[params["name"]]
    work = lambda: tool(call, token, **params.get("arguments", {}))
    threading.Thread(target=work, daemon=True).start()


def hear(message):
    call, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if method == "initialize":
        say(
            id=call,
            result={
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "interop-server", "version": "1"},
            },
        )
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        say(id=call, result={"tools": tools})
    elif method == "tools/call":
        called(call, params)
    elif method is not None and call is not None:
        say(id=call, result={})


for line in sys.stdin:
    hear(json.loads(line))
