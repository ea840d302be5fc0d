"""Progress notifications after their request was cancelled or answered."""

import asyncio
import logging

from checks import check, check_equal, until
from wire import Wire

# Longer than the server continues after the end of a call.
SETTLE_SECONDS = 1


class Errors(logging.Handler):
    """Warnings and errors of the SDK, logged or passed to its message handler."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []
        logging.getLogger().addHandler(self)

    def emit(self, record):
        self.messages.append(record.getMessage())

    async def on_message(self, message):
        if isinstance(message, Exception):
            self.messages.append(repr(message))


async def check_late_progress(name, library, url, connect):
    """`connect` takes the URL, an HTTP client and a message handler. It returns a session and a
    function that cancels the latest request unless the SDK does that itself."""
    wire = Wire(library)
    errors = Errors()

    def check_no_errors(text):
        check_equal(f"{name}, {text}: no error", errors.messages, [])
        refused = [x for x in wire.resumes() if (x.status or 0) >= 400]
        check_equal(f"{name}, {text}: no resume is refused", refused, [])

    async with wire.client() as http, connect(url, http, errors.on_message) as (session, cancel):
        received = []

        async def on_progress(progress, _total, _message):
            received.append(progress)

        call = asyncio.create_task(
            session.call_tool("cancelled", {"ms": 600}, progress_callback=on_progress)
        )
        await until(f"{name} receives progress", lambda: len(received) >= 3)
        await cancel()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(SETTLE_SECONDS)
        check_no_errors("progress after cancellation")

        result = await session.call_tool("answered", {}, progress_callback=on_progress)
        check_equal(f"{name} gets the response", result.content[0].text, "answered")
        await asyncio.sleep(SETTLE_SECONDS)
        check_no_errors("progress after the response")

        wire.cut_at(r'"progress": ?5\b')
        result = await session.call_tool("late", {"ms": 600}, progress_callback=on_progress)
        check_equal(f"{name} resumes after a disconnect", result.content[0].text, "late")
        check(f"{name} was disconnected", wire.has_cut and wire.resumes())
