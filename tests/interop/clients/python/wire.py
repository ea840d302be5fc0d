"""What goes over the wire, as seen between the client and the sockets; and the place
where connections are cut."""

import re
from dataclasses import dataclass

LOST_BYTES = 5
"""How much of a chunk is lost when its connection is cut: the end of its last event."""


@dataclass
class Exchange:
    """An HTTP request, and what the server has sent so far."""

    method: str
    session: str | None
    seen: str | None
    status: int | None = None
    text: str = ""


class Wire:
    """Goes between a client and its sockets; `library` is httpx, or what took its place."""

    def __init__(self, library):
        self.exchanges = []
        self._library = library
        self._marker = None

    def cut_at(self, marker):
        """Cuts the connection in the middle of the event in which the server says `marker`."""
        self._marker = re.compile(marker)

    @property
    def has_cut(self):
        return self._marker is None

    def resumes(self):
        return [it for it in self.exchanges if it.method == "GET" and it.seen is not None]

    def client(self):
        """Returns an HTTP client with the usual timeouts of a streaming client."""
        timeout = self._library.Timeout(30, read=300)
        return self._library.AsyncClient(transport=self._transport(), timeout=timeout)

    def _transport(wire):
        library = wire._library

        class Stream(library.AsyncByteStream):
            def __init__(self, inner, exchange):
                self._inner = inner
                self._exchange = exchange

            async def __aiter__(self):
                async for chunk in self._inner:
                    self._exchange.text += chunk.decode()
                    if wire._marker and wire._marker.search(self._exchange.text):
                        wire._marker = None
                        yield chunk[:-LOST_BYTES]
                        await self.aclose()
                        raise library.ReadError("the connection was cut")
                    yield chunk

            async def aclose(self):
                await self._inner.aclose()

        class Transport(library.AsyncHTTPTransport):
            async def handle_async_request(self, request):
                session = request.headers.get("mcp-session-id")
                seen = request.headers.get("last-event-id")
                exchange = Exchange(request.method, session, seen)
                wire.exchanges.append(exchange)
                response = await super().handle_async_request(request)
                exchange.status = response.status_code
                response.stream = Stream(response.stream, exchange)
                return response

        return Transport()
