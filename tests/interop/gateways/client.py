"""Streamable HTTP client that can drop its connection. Uses only the standard library."""

import http.client
import json
import queue
import socket
import threading
import time

REVISION = "2025-06-18"


class Response:
    """An HTTP response. A thread reads the events of its body."""

    def __init__(self, connection, used, response):
        self.connection = connection
        self.socket = used
        self.status = response.status
        self.headers = response.headers
        self.response = response
        self.is_stream = "text/event-stream" in (response.headers.get("content-type") or "")
        self.events = []
        self.queue = queue.Queue()
        self.ended = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            if self.is_stream:
                self._read_events()
            else:
                text = self.response.read().decode(errors="replace")
                self._add(None, text)
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended.set()
        self.queue.put(None)

    def _read_events(self):
        event_id, data = None, []
        while line := self.response.readline():
            line = line.decode().rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                event_id = value
            elif field == "data":
                data.append(value)
            elif not line and (event_id is not None or data):
                self._add(event_id, "\n".join(data))
                event_id, data = None, []

    def _add(self, event_id, data):
        try:
            message = json.loads(data)
        except ValueError:
            message = None
        event = {"id": event_id, "message": message, "text": data}
        self.events.append(event)
        self.queue.put(event)

    def next(self, seconds):
        """Returns the next event, or None at the end or after `seconds`."""
        try:
            return self.queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def find(self, matches, seconds):
        """Returns the next event that matches, or None at the end or after `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            event = self.next(left)
            if event is None:
                return None
            if matches(event):
                return event
        return None

    def response_to(self, request_id, seconds):
        """Returns the JSON-RPC response to a request, alone or in a batch."""
        event = self.find(lambda event: is_response(event["message"], request_id), seconds)
        if event is None:
            return None
        message = event["message"]
        if isinstance(message, list):
            return next(each for each in message if is_response(each, request_id))
        return message

    def drop(self):
        """Drops the connection without warning, like a laptop that goes to sleep."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.reader.join(5)
        self.connection.close()


def read_response(connection):
    """Waits for the head of the response, up to the timeout of the connection."""
    used = connection.sock
    response = connection.getresponse()
    used.settimeout(None)
    return Response(connection, used, response)


def is_response(message, request_id):
    if isinstance(message, list):
        return any(is_response(each, request_id) for each in message)
    if not isinstance(message, dict) or "method" in message:
        return False
    return message.get("id") == request_id


class Client:
    """A client of one session."""

    def __init__(self, port, path, capabilities=None):
        self.port, self.path = port, path
        self.session, self.next_id = None, 1
        self.capabilities = capabilities or {}

    def send(self, method, body=None, headers=None, timeout=15):
        return read_response(self.start_request(method, body, headers, timeout))

    def start_request(self, method, body, headers, timeout):
        """Sends a request without waiting for the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"accept": "application/json, text/event-stream"}
        if body is not None:
            sent["content-type"] = "application/json"
            body = body if isinstance(body, str) else json.dumps(body)
        if self.session is not None:
            sent["mcp-session-id"] = self.session
            sent["mcp-protocol-version"] = REVISION
        sent.update(headers or {})
        connection.request(method, self.path, body, sent)
        return connection

    def initialize(self, seconds=20):
        params = {"protocolVersion": REVISION, "capabilities": self.capabilities}
        params["clientInfo"] = {"name": "probe", "version": "0"}
        response = self.post("initialize", params, timeout=seconds)
        message = response.response_to(response.request_id, seconds)
        if response.status != 200 or message is None or "result" not in message:
            raise RuntimeError(f"initialize: {response.status} {response.events}")
        self.session = response.headers.get("mcp-session-id")
        self.notify("notifications/initialized")
        return self

    def request(self, method, params):
        message = {"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params}
        self.next_id += 1
        return message

    def post(self, method, params, timeout=15, headers=None):
        message = self.request(method, params)
        response = self.send("POST", message, headers, timeout)
        response.request_id = message["id"]
        return response

    def call(self, tool, timeout=15, token=None, **arguments):
        return self.post("tools/call", call_params(tool, token, arguments), timeout)

    def call_in_background(self, tool, **options):
        """Calls a tool in a thread: a gateway may delay the head of a response until its end."""
        result = queue.Queue()

        def run():
            try:
                result.put(self.call(tool, **options))
            except (OSError, http.client.HTTPException) as error:
                result.put(error)

        threading.Thread(target=run, daemon=True).start()
        return result

    def call_and_drop(self, tool, after, token=None, **arguments):
        """Calls a tool, drops the connection after `after` seconds, and returns the events."""
        message = self.request("tools/call", call_params(tool, token, arguments))
        start = time.monotonic()
        connection = self.start_request("POST", message, None, after)
        try:
            response = read_response(connection)
        except OSError:
            connection.close()
            return message["id"], []
        time.sleep(max(0, start + after - time.monotonic()))
        response.drop()
        return message["id"], response.events

    def notify(self, method):
        return self.send("POST", {"jsonrpc": "2.0", "method": method})

    def get(self, last_event_id=None, timeout=3):
        headers = {} if last_event_id is None else {"last-event-id": last_event_id}
        return self.send("GET", headers=headers, timeout=timeout)


def call_params(tool, token, arguments):
    params = {"name": tool, "arguments": arguments}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    return params
