"""What was checked: a line for each fact, and an exit at the first that is none."""

import asyncio
import os

DEADLINE_SECONDS = 60

_latest = "the beginning"


def fact(text, holds, found=None):
    global _latest
    if not holds:
        _fail(f"{text}; found {found!r}")
    print(f"ok: {text}", flush=True)
    _latest = text


def same_fact(text, found, expected):
    fact(text, found == expected, found)


async def until(text, condition):
    """Waits until `condition` holds: what the server says of itself comes when it comes."""
    while not condition():
        await asyncio.sleep(0.005)
    fact(text, True)


def run(work):
    """Runs the whole of a script."""
    try:
        asyncio.run(asyncio.wait_for(work, DEADLINE_SECONDS))
    except asyncio.TimeoutError:
        _fail(f"in time; the latest fact is: {_latest}")


def _fail(text):
    print(f"FAILED: {text}", flush=True)
    os._exit(1)
