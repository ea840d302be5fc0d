"""Cleanup of server processes: `process_cleanup.py PROGRAM PROCESSES TOOL ARGUMENTS COMMAND…`.

A client calls a tool, and then deletes the session, or the program gets SIGTERM or SIGKILL. No
process of the server may remain, not even as a zombie. The program runs as process 1 of a PID
namespace, as in a container, and as an ordinary process.
"""

import ctypes
import json
import os
import signal
import shutil
import sys
import tempfile
import time

from client import Client
from checks import check, fail, finish, on_exit, set_time_limit, until
from program import serve, stop

PR_SET_CHILD_SUBREAPER = 36
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount"]
# Working directory of the servers.
DIRECTORY = tempfile.mkdtemp()
# Maximum time until all processes have exited.
SECONDS = 20


def processes():
    """Returns all processes with parent, state and command."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    text = file.read()
            except OSError:
                continue
            command, rest = text.split("(", 1)[1].rsplit(")", 1)
            state, parent = rest.split()[:2]
            found[int(name)] = (int(parent), state, command)
    return found


def descendants(root):
    """Returns the descendants of a process with state and command."""
    all, found, parents = processes(), {}, {root}
    while parents:
        parents = {pid for pid, (parent, _, _) in all.items() if parent in parents}
        found.update((pid, all[pid][1:]) for pid in parents)
    return found


def alive(processes):
    return {pid: it for pid, it in processes.items() if it[0] != "Z"}


def running_processes():
    return {pid for pid, (_, state, _) in processes().items() if state != "Z"}


def check_cleanup(method, description, before):
    program, count, tool, arguments, *command = sys.argv[1:]
    # A process group of its own, so that it gets only the signals of this script.
    settings = {"start_new_session": True, "cwd": DIRECTORY}
    process = serve(program, command=command, before=before, **settings)
    rejoin = process.pid
    if before:
        (rejoin,) = [pid for pid, (parent, _, _) in processes().items() if parent == process.pid]
    idle = descendants(rejoin)
    client = Client(process.address)
    server = client.open()["serverInfo"]["name"]
    text = f"{server}, {description}"
    client.result("tools/list")
    client.result("tools/call", {"name": tool, "arguments": json.loads(arguments)})
    running = alive(descendants(rejoin)).keys() - idle.keys()
    check(f"{text}: at least {count} processes", len(running) >= int(count), descendants(rejoin))
    start = time.monotonic()
    if method == "DELETE":
        check(f"{text}: the session is deleted", client.delete() in (200, 202, 204))
        is_clean = lambda: descendants(rejoin).keys() <= idle.keys()
        until(f"{text}: no process remains", is_clean, SECONDS)
    else:
        os.kill(rejoin, method)
        has_exited = lambda: process.poll() is not None
        until(f"{text}: the program exits", has_exited, SECONDS)
        # Orphans are reparented to this script, which reaps them.
        remaining = lambda: [it for it in running | idle.keys() if it in running_processes()]
        until(f"{text}: no process remains", lambda: reap() or not remaining(), SECONDS)
    print(f"{text}: {time.monotonic() - start:.2f} s")
    stop(process)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main():
    set_time_limit(110)
    on_exit(lambda: shutil.rmtree(DIRECTORY))
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        fail("cannot become a subreaper")
    on_exit(lambda: [os.kill(pid, signal.SIGKILL) for pid in alive(descendants(os.getpid()))])
    signals = [("DELETE", "DELETE"), (signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL")]
    for before, where in [(CONTAINER, "in a container"), ([], "outside")]:
        for how, name in signals:
            check_cleanup(how, f"{name} {where}", before)
    finish()


main()
