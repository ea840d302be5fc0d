"""Checks: print one line each, and exit at the first that fails."""

import os
import sys
import threading
import time

_cleanups = []


def check(text, condition, actual=None):
    if not condition:
        fail(f"{text}; got {actual!r}")
    print(f"ok: {text}", flush=True)


def until(text, condition, seconds=10):
    """Waits until `condition` returns a true value, and returns it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            fail(f"{text}, within {seconds} s")
        time.sleep(0.02)
    print(f"ok: {text}", flush=True)
    return value


def on_exit(cleanup):
    """Registers a cleanup that runs at exit, also after a failure; the latest runs first."""
    _cleanups.append(cleanup)


def fail(text):
    print(f"FAILED: {text}", flush=True)
    finish(1)


def finish(status=0):
    for cleanup in reversed(_cleanups):
        try:
            cleanup()
        except Exception as error:
            print(f"cleanup: {error}", file=sys.stderr)
    sys.stdout.flush()
    os._exit(status)


def set_time_limit(seconds):
    """Fails the script if it runs for longer than `seconds`."""
    timer = threading.Timer(seconds, lambda: fail(f"timeout after {seconds} s"))
    timer.daemon = True
    timer.start()
