"""Processes: the program under test, and others."""

import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

from checks import fail, on_exit

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = [sys.executable, os.path.join(HERE, "server.py")]


def stop(process):
    """Terminates a process and waits for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(program, *options, command=(), before=(), host="127.0.0.1", **settings):
    """Starts the program on a free port; `before` is a command prefix."""
    arguments = [*before, program, "serve", "--listen", f"{host}:0", "--log-level", "warn"]
    arguments += options
    if command:
        arguments += ["--", *command]
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **settings
    )
    on_exit(lambda: stop(process))
    url = urlsplit(process.stdout.readline().strip())
    if not url.port:
        fail("the program did not print its URL")
    process.address = (host, url.port)
    return process


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, port, **settings):
    """Starts a program, and waits until it accepts connections."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **settings)
    on_exit(lambda: stop(process))
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process
        except OSError:
            time.sleep(0.05)
    fail(f"{command[0]} does not accept connections")
