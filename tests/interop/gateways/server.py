"""Stdio MCP server behind every gateway. Uses only the standard library.

Tools:
  wait      sends one progress notification, waits `ms`, then responds with `text`
  burst     sends one progress notification, waits `ms`, sends `count` more, then responds
  announce  responds, and `ms` later sends notifications/resources/list_changed
  ask       sends a sampling request, and responds with its result
  pid       responds with the id of this process
"""

import json
import os
import sys
import threading
import time

write_lock = threading.Lock()
responses = {}
received = threading.Condition()


def send(message):
    with write_lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def progress(token, value):
    if token is not None:
        params = {"progressToken": token, "progress": value}
        send({"method": "notifications/progress", "params": params})


def sample():
    key = f"ask-{time.monotonic_ns()}"
    content = {"type": "text", "text": "?"}
    params = {"messages": [{"role": "user", "content": content}], "maxTokens": 1}
    send({"id": key, "method": "sampling/createMessage", "params": params})
    with received:
        received.wait_for(lambda: key in responses, timeout=5)
    response = responses.get(key, {"error": {"message": "no answer"}})
    if "error" in response:
        return "error: " + response["error"]["message"]
    return response["result"]["content"]["text"]


def call(request):
    params = request["params"]
    arguments = params.get("arguments") or {}
    token = (params.get("_meta") or {}).get("progressToken")
    name = params["name"]
    seconds = arguments.get("ms", 0) / 1000
    text = arguments.get("text", "done")
    if name in ("wait", "burst"):
        progress(token, 0)
        time.sleep(seconds)
        for value in range(arguments.get("count", 0)):
            progress(token, value + 1)
    elif name == "ask":
        text = sample()
    elif name == "pid":
        text = str(os.getpid())
    content = [{"type": "text", "text": text}]
    send({"id": request["id"], "result": {"content": content, "isError": False}})
    if name == "announce":
        time.sleep(seconds)
        send({"method": "notifications/resources/list_changed"})


def initialize(request):
    capabilities = {"tools": {}, "resources": {"listChanged": True}, "logging": {}}
    result = {
        "protocolVersion": request["params"]["protocolVersion"],
        "capabilities": capabilities,
        "serverInfo": {"name": "probe", "version": "0"},
    }
    send({"id": request["id"], "result": result})


def list_tools(request):
    schema = {"type": "object"}
    names = ("wait", "burst", "announce", "ask", "pid")
    tools = [{"name": name, "description": name, "inputSchema": schema} for name in names]
    send({"id": request["id"], "result": {"tools": tools}})


def handle(message):
    method = message.get("method")
    if method is None:
        with received:
            responses[message.get("id")] = message
            received.notify_all()
    elif "id" not in message:
        return
    elif method == "initialize":
        initialize(message)
    elif method == "tools/list":
        list_tools(message)
    elif method == "tools/call":
        threading.Thread(target=call, args=(message,), daemon=True).start()
    else:
        empty = {"resources/list": "resources", "prompts/list": "prompts"}
        empty["resources/templates/list"] = "resourceTemplates"
        result = {empty[method]: []} if method in empty else {}
        send({"id": message["id"], "result": result})


for line in sys.stdin:
    if line.strip():
        handle(json.loads(line))
