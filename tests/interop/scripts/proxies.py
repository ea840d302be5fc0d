"""A proxy between client and program: `proxies.py PROGRAM PROXY [NODE SCRIPT]`.

Each proxy has the configuration that its documentation begins with. Seen: each event comes
when it is sent, whatever encodings the client accepts; a connection that is cut is resumed;
and no POST is lost, whatever the time between it and the one before on a connection.
"""

import os
import random
import shutil
import sys
import tempfile
import threading
import time

from client import Client
from facts import at_end, end, fact, fail, limit
from program import SERVER, free_port, serve, start

# An event must come before the next one is sent.
DELAY_MAX = 0.4
EVENTS = {"total": 5, "interval_ms": 400}
# The time limits for connections: of the program for request headers, of the proxy for a
# connection to the program that is idle, and of the program for that. The proxy's is the
# shorter one, as with the defaults of both.
HEADERS, PROXY_IDLE, IDLE = 1, 2, 3
POSTS = 1_000
CLIENTS = 50


def nginx(folder, port, upstream):
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as file:
        file.write(
            f"""daemon off; pid {folder}/pid; error_log stderr; user root;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
                fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                gzip on;
                server {{
                    listen 127.0.0.1:{port};
                    location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
                }}
            }}"""
        )
    return ["nginx", "-c", path, "-p", folder]


def nginx_keepalive(folder, port, upstream):
    """With a pool of connections, which the documentation recommends."""
    command = nginx(folder, port, upstream)
    path = command[2]
    with open(path) as file:
        text = file.read()
    pool = f"""upstream rejoin {{
        server 127.0.0.1:{upstream}; keepalive 32; keepalive_timeout {PROXY_IDLE}s;
    }}
    server {{"""
    text = text.replace("server {", pool, 1).replace(
        f"proxy_pass http://127.0.0.1:{upstream};",
        'proxy_pass http://rejoin; proxy_http_version 1.1; proxy_set_header Connection ""; '
        "proxy_set_header Host $host;",
    )
    with open(path, "w") as file:
        file.write(text)
    return command


def haproxy(folder, port, upstream):
    path = os.path.join(folder, "haproxy.cfg")
    with open(path, "w") as file:
        file.write(
            f"""defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
    timeout http-keep-alive {PROXY_IDLE}s
    compression algo gzip
    compression type text/event-stream application/json
frontend clients
    bind 127.0.0.1:{port}
    default_backend rejoin
backend rejoin
    http-reuse always
    server one 127.0.0.1:{upstream} pool-purge-delay {PROXY_IDLE}s
"""
        )
    return ["haproxy", "-db", "-f", path]


def caddy(folder, port, upstream):
    path = os.path.join(folder, "Caddyfile")
    with open(path, "w") as file:
        file.write(
            f"""{{
    admin off
    auto_https off
    storage file_system {folder}
}}
http://127.0.0.1:{port} {{
    encode gzip zstd
    reverse_proxy 127.0.0.1:{upstream} {{
        transport http {{
            keepalive {PROXY_IDLE}s
        }}
    }}
}}
"""
        )
    return ["caddy", "run", "--config", path, "--adapter", "caddyfile"]


def express(_folder, port, upstream):
    _, _, _, node, script = sys.argv
    return [node, script, str(port), str(upstream), str(PROXY_IDLE * 1000)]


PROXIES = {
    "nginx": nginx,
    "nginx-keepalive": nginx_keepalive,
    "haproxy": haproxy,
    "caddy": caddy,
    "express": express,
}


def delivers(name, address):
    for encoding in ["identity", "gzip", "br", "gzip, deflate, br, zstd"]:
        client = Client(address)
        client.headers = {"accept-encoding": encoding}
        client.open()
        text = f"{name}, to a client that accepts {encoding}"

        begun = time.time()
        stream = client.listen()
        took = time.time() - begun
        fact(f"{text}: GET is answered", stream.status == 200, stream.status)
        fact(f"{text}: GET begins at once", took < 1, took)
        threading.Thread(target=lambda: client.call("log", EVENTS).body()).start()
        delays = []
        for came, message in stream.messages():
            if message.get("method") == "notifications/message":
                delays.append(came - message["params"]["data"]["sent"])
                if len(delays) == EVENTS["total"]:
                    break
        fact(f"{text}: each event of GET comes at once", max(delays) < DELAY_MAX, delays)
        stream.close()

        response = client.call("count", EVENTS)
        fact(f"{text}: not compressed", "content-encoding" not in response.headers)
        messages = list(response.messages())
        delays = [
            came - float(message["params"]["message"])
            for came, message in messages
            if "method" in message
        ]
        fact(f"{text}: every event comes", len(delays) == 5, messages)
        fact(f"{text}: each event of a call comes at once", max(delays) < DELAY_MAX, delays)
        client.delete()


def resumes(name, address):
    client = Client(address)
    client.open()
    response = client.call("count", {"total": 20, "interval_ms": 30})
    heard, last = [], None
    for _, last_seen, message in response.events():
        last = last_seen or last
        if message is not None:
            heard.append(message["params"]["progress"])
        if len(heard) == 5:
            break
    response.close()
    resumed = client.listen(last_event_id=last)
    fact(f"{name}: a call is resumed", resumed.status == 200, resumed.status)
    for _, message in resumed.messages():
        if "id" in message:
            break
        heard.append(message["params"]["progress"])
    fact(f"{name}: nothing is lost or repeated", heard == list(range(1, 21)), heard)
    resumed.close()
    client.delete()


def loses_no_post(name, address):
    lost, done, lock = [], {"sent": 0, "resumed": 0}, threading.Lock()
    pauses = [0, 0.001]
    for around in [HEADERS, PROXY_IDLE, IDLE]:
        pauses += [around + offset for offset in (-0.02, -0.005, 0, 0.005, 0.02)]

    def work(seed):
        luck = random.Random(seed)
        client = Client(address)
        client.open()
        for _ in range(POSTS // CLIENTS):
            try:
                # The client's own connection is new; the proxy's to the program need not be.
                response = client.post("ping")
                events = list(response.events()) if response.status == 200 else []
                response.close()
                if events and events[-1][2] is None:
                    # The proxy ended the stream early: what is missing can be had.
                    with lock:
                        done["resumed"] += 1
                    resumed = client.listen(last_event_id=events[-1][1])
                    events += resumed.events()
                    resumed.close()
                answers = [event for event in events if event[2] is not None]
                found = 200 if len(answers) == 1 else (response.status, events)
            except (OSError, ValueError) as error:
                found = repr(error)
            with lock:
                done["sent"] += 1
                if found != 200:
                    lost.append(found)
            time.sleep(luck.choice(pauses))
        client.delete()

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    fact(f"{name}: all POSTs were sent", done["sent"] == POSTS, done)
    fact(f"{name}: of {POSTS} POSTs none is lost", not lost, lost[:5])
    print(f"{name}: {done['resumed']} answers were cut off by the proxy and resumed")


def main():
    limit(110)
    program, name = sys.argv[1:3]
    folder = tempfile.mkdtemp()
    at_end(lambda: shutil.rmtree(folder))
    options = ["--header-timeout", f"{HEADERS}s", "--connection-idle-timeout", f"{IDLE}s"]
    upstream = serve(program, *options, command=SERVER).address[1]
    port = free_port()
    start(PROXIES[name](folder, port, upstream), port, env={**os.environ, "HOME": folder})
    address = ("127.0.0.1", port)
    try:
        delivers(name, address)
        resumes(name, address)
        loses_no_post(name, address)
    except (OSError, ValueError) as error:
        fail(f"{name}: {error!r}")
    end()


main()
