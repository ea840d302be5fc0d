"""What is left of a server's processes: `ends.py PROGRAM PROCESSES TOOL ARGUMENTS COMMAND…`.

A session calls a tool once, and then its client deletes it, or the program gets SIGTERM or
SIGKILL: nothing of the server may live on, nor be a zombie. The program is the first process
of a PID namespace, as in a container, and an ordinary one.
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
from facts import at_end, end, fact, fail, limit, until
from program import serve, stop

PR_SET_CHILD_SUBREAPER = 36
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount"]
# Where servers may write.
FOLDER = tempfile.mkdtemp()
# How long it may take until nothing is left.
SECONDS = 20


def processes():
    """All processes: of each the parent, the state and the command."""
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


def below(root):
    """The processes that descend from one, with their states and commands."""
    all, found, parents = processes(), {}, {root}
    while parents:
        parents = {pid for pid, (parent, _, _) in all.items() if parent in parents}
        found.update((pid, all[pid][1:]) for pid in parents)
    return found


def alive(found):
    return {pid: it for pid, it in found.items() if it[0] != "Z"}


def running_processes():
    return {pid for pid, (_, state, _) in processes().items() if state != "Z"}


def ends(how, how_text, before):
    program, count, tool, arguments, *command = sys.argv[1:]
    # Its own process group, so that it gets the signals of this script alone.
    settings = {"start_new_session": True, "cwd": FOLDER}
    process = serve(program, command=command, before=before, **settings)
    rejoin = process.pid
    if before:
        (rejoin,) = [pid for pid, (parent, _, _) in processes().items() if parent == process.pid]
    idle = below(rejoin)
    client = Client(process.address)
    server = client.open()["serverInfo"]["name"]
    text = f"{server}, {how_text}"
    client.result("tools/list")
    client.result("tools/call", {"name": tool, "arguments": json.loads(arguments)})
    running = alive(below(rejoin)).keys() - idle.keys()
    fact(f"{text}: it has {count} processes or more", len(running) >= int(count), below(rejoin))
    begun = time.monotonic()
    if how == "DELETE":
        fact(f"{text}: the session is deleted", client.delete() in (200, 202, 204))
        until(f"{text}: nothing is left", lambda: below(rejoin).keys() <= idle.keys(), SECONDS)
    else:
        os.kill(rejoin, how)
        end_of = lambda: process.poll() is not None
        until(f"{text}: the program ends", end_of, SECONDS)
        # Orphans are given to this script, which reaps them.
        left = lambda: [it for it in running | idle.keys() if it in running_processes()]
        until(f"{text}: nothing is left", lambda: reap() or not left(), SECONDS)
    print(f"{text}: {time.monotonic() - begun:.2f} s")
    stop(process)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main():
    limit(110)
    at_end(lambda: shutil.rmtree(FOLDER))
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        fail("this script can be given orphans")
    at_end(lambda: [os.kill(pid, signal.SIGKILL) for pid in alive(below(os.getpid()))])
    signals = [("DELETE", "DELETE"), (signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL")]
    for before, where in [(CONTAINER, "in a container"), ([], "outside")]:
        for how, name in signals:
            ends(how, f"{name} {where}", before)
    end()


main()
