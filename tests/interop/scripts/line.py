"""A slow line between client and program: `line.py PROGRAM [COMMAND…]`.

Program and client are in network namespaces of their own. Between them is this script, which
passes IP packets on as a line does: 1 Mbit/s, 50 ms each way, and a queue of limited length.
"""

import collections
import fcntl
import os
import select
import struct
import subprocess
import sys
import threading
import time

from client import Client
from facts import at_end, end, fact, limit
from program import serve

BYTES_PER_SECOND = 1_000_000 / 8
DELAY = 0.05
QUEUE_BYTES = 64 * 1024
# In all more than the buffers of both systems hold.
EVENTS = 40_000
SECONDS = 110

PROGRAM, CLIENT = "10.231.0.1", "10.231.0.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def namespace(name, address):
    """Makes a network namespace with one end of the line, which is returned."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    at_end(lambda: subprocess.run(["ip", "netns", "del", name], check=True))
    tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "netns", name], check=True)
    inside = ["ip", "-n", name]
    subprocess.run([*inside, "address", "add", f"{address}/24", "dev", name], check=True)
    subprocess.run([*inside, "link", "set", name, "up"], check=True)
    return tunnel


class Way:
    """One direction of the line."""

    def __init__(self, to):
        self.to = to
        self.packets = collections.deque()
        self.bytes = 0
        self.free_at = 0

    def take(self, packet):
        if self.bytes + len(packet) > QUEUE_BYTES:
            return
        sent = max(self.free_at, time.monotonic()) + len(packet) / BYTES_PER_SECOND
        self.free_at = sent
        self.bytes += len(packet)
        self.packets.append((sent + DELAY, packet))

    def give(self):
        while self.packets and self.packets[0][0] <= time.monotonic():
            packet = self.packets.popleft()[1]
            self.bytes -= len(packet)
            os.write(self.to, packet)


def carry(one, other):
    """Passes packets on for as long as the script runs."""
    ways = {one: Way(other), other: Way(one)}
    try:
        while True:
            due = [way.packets[0][0] for way in ways.values() if way.packets]
            wait = max(0, min(due) - time.monotonic()) if due else 1
            for end_of_line in select.select(list(ways), [], [], wait)[0]:
                ways[end_of_line].take(os.read(end_of_line, 65536))
            for way in ways.values():
                way.give()
    except OSError:
        # The namespaces are being removed.
        return


def client(port):
    """The part that runs in the namespace of the client."""
    client = Client((PROGRAM, port))
    client.open()
    begun = time.monotonic()
    heard, lost, answer = 0, [], None
    for _, message in client.call("flood", {"events": EVENTS}).messages():
        if "id" in message:
            answer = message
        elif message["method"] == "notifications/progress":
            number = int(message["params"]["progress"])
            if number != heard + 1:
                lost.append((heard, number))
            heard = number
    seconds = time.monotonic() - begun
    fact("nothing is lost", not lost, lost[:5])
    fact("everything comes", heard == EVENTS, heard)
    fact("the answer comes", answer is not None and "result" in answer, answer)
    fact("the line was slow", seconds > 10, seconds)
    print(f"{EVENTS} events in {seconds:.1f} s")
    end()


def main():
    if sys.argv[1] == "client":
        client(int(sys.argv[2]))
    limit(SECONDS)
    program, *command = sys.argv[1:]
    names = [f"rejoin{os.getpid()}{side}" for side in "ab"]
    ends = [namespace(name, address) for name, address in zip(names, [PROGRAM, CLIENT])]
    threading.Thread(target=carry, args=ends, daemon=True).start()
    inside = [["ip", "netns", "exec", name] for name in names]
    options = ["--allow-host", "*"]
    process = serve(program, *options, command=command, before=inside[0], host=PROGRAM)
    arguments = [sys.executable, "-B", __file__, "client", str(process.address[1])]
    end(subprocess.run([*inside[1], *arguments]).returncode)


main()
