"""HTTP transport that records all exchanges and can cut a connection."""

import re
from dataclasses import dataclass

LOST_BYTES = 5
"""Number of bytes removed from the end of the last chunk, so that its last event is incomplete."""


@dataclass
class Exchange:
    """An HTTP request and the part of the response received so far."""

    method: str
    session: str | None
    last_event_id: str | None
    status: int | None = None
    text: str = ""


class Wire:
    """Records the exchanges of a client; `library` is httpx or its successor."""

    def __init__(self, library):
        self.exchanges = []
        self._library = library
        self._marker = None

    def cut_at(self, marker):
        """Cuts the connection within the event that contains `marker`."""
        self._marker = re.compile(marker)

    @property
    def has_cut(self):
        return self._marker is None

    def resumes(self):
        return [x for x in self.exchanges if x.method == "GET" and x.last_event_id is not None]

    def client(self):
        """Returns an HTTP client with timeouts suitable for streaming."""
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
                last_event_id = request.headers.get("last-event-id")
                exchange = Exchange(request.method, session, last_event_id)
                wire.exchanges.append(exchange)
                response = await super().handle_async_request(request)
                exchange.status = response.status_code
                response.stream = Stream(response.stream, exchange)
                return response

        return Transport()
