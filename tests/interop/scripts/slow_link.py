"""A slow link between client and program: `slow_link.py PROGRAM [COMMAND…]`.

Program and client run in separate network namespaces. This script forwards IP packets between
them at 1 Mbit/s, with a delay of 50 ms in each direction and a bounded queue.
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
from checks import check, finish, on_exit, set_time_limit
from program import serve

BYTES_PER_SECOND = 1_000_000 / 8
DELAY = 0.05
QUEUE_BYTES = 64 * 1024
# More data than the socket buffers of both ends hold.
EVENTS = 40_000
SECONDS = 110

PROGRAM, CLIENT = "10.231.0.1", "10.231.0.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def namespace(name, address):
    """Creates a network namespace with one end of the link, and returns that end."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    on_exit(lambda: subprocess.run(["ip", "netns", "del", name], check=True))
    tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "netns", name], check=True)
    inside = ["ip", "-n", name]
    subprocess.run([*inside, "address", "add", f"{address}/24", "dev", name], check=True)
    subprocess.run([*inside, "link", "set", name, "up"], check=True)
    return tunnel


class Direction:
    """One direction of the link."""

    def __init__(self, to):
        self.to = to
        self.packets = collections.deque()
        self.bytes = 0
        self.free_at = 0

    def enqueue(self, packet):
        if self.bytes + len(packet) > QUEUE_BYTES:
            return
        sent = max(self.free_at, time.monotonic()) + len(packet) / BYTES_PER_SECOND
        self.free_at = sent
        self.bytes += len(packet)
        self.packets.append((sent + DELAY, packet))

    def send_due(self):
        while self.packets and self.packets[0][0] <= time.monotonic():
            packet = self.packets.popleft()[1]
            self.bytes -= len(packet)
            os.write(self.to, packet)


def forward(one, other):
    """Forwards packets until the script exits."""
    directions = {one: Direction(other), other: Direction(one)}
    try:
        while True:
            queues = [direction.packets for direction in directions.values()]
            due = [packets[0][0] for packets in queues if packets]
            wait = max(0, min(due) - time.monotonic()) if due else 1
            for source in select.select(list(directions), [], [], wait)[0]:
                directions[source].enqueue(os.read(source, 65536))
            for direction in directions.values():
                direction.send_due()
    except OSError:
        # The namespaces are being removed.
        return


def client(port):
    """The client, which runs in its own namespace."""
    client = Client((PROGRAM, port))
    client.open()
    start = time.monotonic()
    received, gaps, response = 0, [], None
    for _, message in client.call("count", {"total": EVENTS, "interval_ms": 0}).messages():
        if "id" in message:
            response = message
        elif message["method"] == "notifications/progress":
            number = int(message["params"]["progress"])
            if number != received + 1:
                gaps.append((received, number))
            received = number
    seconds = time.monotonic() - start
    check("no event is lost", not gaps, gaps[:5])
    check("all events arrive", received == EVENTS, received)
    check("the response arrives", response is not None and "result" in response, response)
    check("the link was slow", seconds > 10, seconds)
    print(f"{EVENTS} events in {seconds:.1f} s")
    finish()


def main():
    if sys.argv[1] == "client":
        client(int(sys.argv[2]))
    set_time_limit(SECONDS)
    program, *command = sys.argv[1:]
    names = [f"rejoin{os.getpid()}{side}" for side in "ab"]
    ends = [namespace(name, address) for name, address in zip(names, [PROGRAM, CLIENT])]
    threading.Thread(target=forward, args=ends, daemon=True).start()
    inside = [["ip", "netns", "exec", name] for name in names]
    options = ["--allow-host", "*"]
    process = serve(program, *options, command=command, before=inside[0], host=PROGRAM)
    arguments = [sys.executable, "-B", __file__, "client", str(process.address[1])]
    finish(subprocess.run([*inside[1], *arguments]).returncode)


main()
