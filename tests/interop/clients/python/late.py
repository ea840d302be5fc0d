"""What becomes of progress that a server sends after its call was cancelled or answered."""

import asyncio
import logging

from facts import fact, same_fact, until
from wire import Wire

# Longer than the server goes on after the end of a call.
GOES_ON_SECONDS = 1


class Errors(logging.Handler):
    """What the SDK complains of, in its log or to its client."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.found = []
        logging.getLogger().addHandler(self)

    def emit(self, record):
        self.found.append(record.getMessage())

    async def hear(self, message):
        if isinstance(message, Exception):
            self.found.append(repr(message))


async def is_late(name, library, url, connect):
    """`connect` is given the address, an HTTP client and what hears messages; it returns a
    session, and what sends the cancellation of the latest request unless the SDK does."""
    wire = Wire(library)
    errors = Errors()

    def silent(text):
        same_fact(f"{name}, {text}: no error", errors.found, [])
        refused = [x for x in wire.resumes() if (x.status or 0) >= 400]
        same_fact(f"{name}, {text}: no resume is refused", refused, [])

    async with wire.client() as http, connect(url, http, errors.hear) as (session, cancel):
        heard = []

        async def hear(progress, _total, _message):
            heard.append(progress)

        call = asyncio.create_task(
            session.call_tool("late", {"ms": 600}, progress_callback=hear)
        )
        await until(f"{name} hears progress", lambda: len(heard) >= 3)
        await cancel()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(GOES_ON_SECONDS)
        silent("with progress after it cancelled")

        said = await session.call_tool("answered", {}, progress_callback=hear)
        same_fact(f"{name} is answered", said.content[0].text, "answered")
        await asyncio.sleep(GOES_ON_SECONDS)
        silent("with progress after the answer")

        wire.cut_at(r'"progress": ?5\b')
        said = await session.call_tool("late", {"ms": 600}, progress_callback=hear)
        same_fact(f"{name}, cut off, resumes", said.content[0].text, "late")
        fact(f"{name} was cut off", wire.has_cut and wire.resumes())
