"""Checks: print one line each, and exit at the first that fails."""

import asyncio
import os

DEADLINE_SECONDS = 60

_latest = "none"


def check(text, condition, actual=None):
    global _latest
    if not condition:
        _fail(f"{text}; got {actual!r}")
    print(f"ok: {text}", flush=True)
    _latest = text


def check_equal(text, actual, expected):
    check(text, actual == expected, actual)


async def until(text, condition):
    """Waits until `condition` is true: messages of the server arrive at any time."""
    while not condition():
        await asyncio.sleep(0.005)
    check(text, True)


def run(work):
    """Runs a script with a time limit."""
    try:
        asyncio.run(asyncio.wait_for(work, DEADLINE_SECONDS))
    except asyncio.TimeoutError:
        _fail(f"timeout; last passed check: {_latest}")


def _fail(text):
    print(f"FAILED: {text}", flush=True)
    os._exit(1)
