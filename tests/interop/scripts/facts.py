"""What was checked: a line for each fact, and an exit at the first that does not hold."""

import os
import sys
import threading
import time

_cleanups = []


def fact(text, holds, found=None):
    if not holds:
        fail(f"{text}; found {found!r}")
    print(f"ok: {text}", flush=True)


def until(text, condition, seconds=10):
    """Waits until `condition` returns something true, and returns that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            fail(f"{text}, within {seconds} s")
        time.sleep(0.02)
    print(f"ok: {text}", flush=True)
    return found


def at_end(cleanup):
    """Has something done at the end, also after a failure; the latest first."""
    _cleanups.append(cleanup)


def fail(text):
    print(f"FAILED: {text}", flush=True)
    end(1)


def end(status=0):
    for cleanup in reversed(_cleanups):
        try:
            cleanup()
        except Exception as error:
            print(f"cleanup: {error}", file=sys.stderr)
    sys.stdout.flush()
    os._exit(status)


def limit(seconds):
    """Fails unless the script ends in time."""
    timer = threading.Timer(seconds, lambda: fail(f"the script ends within {seconds} s"))
    timer.daemon = True
    timer.start()
