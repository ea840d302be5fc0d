"""HTTP/1.1 and SSE client over a plain socket, which records when each event arrives."""

import json
import socket
import time

VERSION = "2025-11-25"


class Response:
    """A response whose head was received. The connection stays open after the body."""

    def __init__(self, connection, reader):
        self.connection = connection
        self._reader = reader
        status = reader.readline()
        if not status:
            raise ConnectionError("connection closed before the response")
        self.status = int(status.split()[1])
        self.headers = {}
        while (line := reader.readline().strip()):
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.arrived_at = time.time()

    def chunks(self):
        """Yields the parts of the body as they arrive."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._reader.readline().split(b";")[0] or b"0", 16):
                yield self._reader.read(size)
                self._reader.readline()
            self._reader.readline()
        elif "content-length" in self.headers:
            yield self._reader.read(int(self.headers["content-length"]))
        elif self.status not in (202, 204):
            while part := self._reader.read1(65536):
                yield part

    def body(self):
        return b"".join(self.chunks())

    def events(self):
        """Yields the events of a stream: time of arrival, id, and the message if there is one."""
        rest = b""
        for part in self.chunks():
            rest += part.replace(b"\r\n", b"\n")
            arrived_at = time.time()
            while b"\n\n" in rest:
                event, rest = rest.split(b"\n\n", 1)
                fields = dict(
                    line.split(b":", 1) for line in event.split(b"\n") if not line.startswith(b":")
                )
                data = fields.get(b"data", b"").strip()
                name = fields.get(b"id", b"").strip().decode()
                if fields:
                    yield arrived_at, name, json.loads(data) if data else None

    def messages(self):
        for arrived_at, _, message in self.events():
            if message is not None:
                yield arrived_at, message

    def close(self):
        self._reader.close()
        self.connection.close()


class Client:
    """A session. Each request uses a new connection unless one is given."""

    def __init__(self, address, path="/mcp", **headers):
        self.address, self.path, self.headers = address, path, headers
        self._session = {}
        self._next = 0

    def open(self):
        params = {
            "protocolVersion": VERSION,
            "capabilities": {},
            "clientInfo": {"name": "interop", "version": "1"},
        }
        response = self.post("initialize", params)
        if response.status != 200:
            raise ConnectionError(f"initialize: {response.status} {response.body()[:300]}")
        (response_message,) = [message for _, message in response.messages() if "id" in message]
        response.close()
        self._session = {
            "mcp-session-id": response.headers["mcp-session-id"],
            "mcp-protocol-version": VERSION,
        }
        self.post("notifications/initialized", notify=True).close()
        return response_message["result"]

    def connect(self):
        connection = socket.create_connection(self.address, timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def request(self, method, body=None, connection=None, **headers):
        connection = connection or self.connect()
        all_headers = {
            "host": f"{self.address[0]}:{self.address[1]}",
            "accept": "text/event-stream",
            **self.headers,
            **self._session,
        }
        if body is not None:
            all_headers["accept"] = "application/json, text/event-stream"
            all_headers["content-type"] = "application/json"
            all_headers["content-length"] = str(len(body))
        all_headers.update((name.replace("_", "-"), value) for name, value in headers.items())
        head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
        connection.sendall(f"{method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))
        return Response(connection, connection.makefile("rb"))

    def post(self, method, params=None, notify=False, connection=None, **headers):
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if not notify:
            self._next += 1
            message["id"] = self._next
        return self.request("POST", json.dumps(message).encode(), connection, **headers)

    def call(self, tool, arguments, **headers):
        params = {"name": tool, "arguments": arguments}
        params["_meta"] = {"progressToken": f"token {self._next}"}
        return self.post("tools/call", params, **headers)

    def result(self, method, params=None):
        """Sends a request and returns its result."""
        response = self.post(method, params)
        responses = [message for _, message in response.messages() if "id" in message]
        response.close()
        if len(responses) != 1 or "result" not in responses[0]:
            raise ConnectionError(f"{method}: {responses}")
        return responses[0]["result"]

    def get(self, **headers):
        return self.request("GET", **headers)

    def delete(self):
        response = self.request("DELETE")
        response.body()
        response.close()
        return response.status
