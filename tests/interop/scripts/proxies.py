"""A proxy between client and program: `proxies.py PROGRAM PROXY [NODE SCRIPT]`.

Each proxy has the basic configuration of its documentation. Checked: events arrive without
delay, for all accepted encodings; a dropped connection can be resumed; and no POST is lost,
regardless of the time since the previous request on its connection.
"""

import os
import random
import shutil
import sys
import tempfile
import threading
import time

from client import Client
from checks import check, fail, finish, on_exit, set_time_limit
from program import SERVER, free_port, serve, start

# An event must arrive before the next one is sent. All events take longer than PROXY_IDLE: a
# request that is sent when an upstream connection expires can be cut off (Caddy 2.6 does it).
DELAY_MAX = 0.4
EVENTS = {"total": 5, "interval_ms": 500}
# Timeouts in seconds: header timeout of the program, idle timeout of the proxy for its upstream
# connections, idle timeout of the program. The one of the proxy is shorter, as it is by default.
HEADERS, PROXY_IDLE, IDLE = 1, 2, 3
POSTS = 1_000
CLIENTS = 50


def nginx(directory, port, upstream):
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w") as file:
        file.write(
            f"""daemon off; pid {directory}/pid; error_log stderr; user root;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
                fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
                gzip on;
                server {{
                    listen 127.0.0.1:{port};
                    location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
                }}
            }}"""
        )
    return ["nginx", "-c", path, "-p", directory]


def nginx_keepalive(directory, port, upstream):
    """Nginx with a pool of upstream connections, as its documentation recommends."""
    command = nginx(directory, port, upstream)
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


def haproxy(directory, port, upstream):
    path = os.path.join(directory, "haproxy.cfg")
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


def caddy(directory, port, upstream):
    path = os.path.join(directory, "Caddyfile")
    with open(path, "w") as file:
        file.write(
            f"""{{
    admin off
    auto_https off
    storage file_system {directory}
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


def express(_directory, port, upstream):
    _, _, _, node, script = sys.argv
    return [node, script, str(port), str(upstream), str(PROXY_IDLE * 1000)]


PROXIES = {
    "nginx": nginx,
    "nginx-keepalive": nginx_keepalive,
    "haproxy": haproxy,
    "caddy": caddy,
    "express": express,
}


def check_delivery(name, address):
    for encoding in ["identity", "gzip", "br", "gzip, deflate, br, zstd"]:
        client = Client(address)
        client.headers = {"accept-encoding": encoding}
        client.open()
        text = f"{name}, to a client that accepts {encoding}"

        start = time.time()
        stream = client.get()
        elapsed = time.time() - start
        check(f"{text}: GET is accepted", stream.status == 200, stream.status)
        check(f"{text}: GET is answered without delay", elapsed < 1, elapsed)
        threading.Thread(target=lambda: client.call("log", EVENTS).body()).start()
        delays = []
        for arrived_at, message in stream.messages():
            if message.get("method") == "notifications/message":
                delays.append(arrived_at - message["params"]["data"]["sent"])
                if len(delays) == EVENTS["total"]:
                    break
        check(f"{text}: events of GET arrive without delay", max(delays) < DELAY_MAX, delays)
        stream.close()

        response = client.call("count", EVENTS)
        check(f"{text}: not compressed", "content-encoding" not in response.headers)
        messages = list(response.messages())
        delays = [
            arrived_at - float(message["params"]["message"])
            for arrived_at, message in messages
            if "method" in message
        ]
        check(f"{text}: all events arrive", len(delays) == 5, messages)
        check(f"{text}: events of a call arrive without delay", max(delays) < DELAY_MAX, delays)
        client.delete()


def check_resume(name, address):
    client = Client(address)
    client.open()
    response = client.call("count", {"total": 20, "interval_ms": 30})
    received, last = [], None
    for _, last_seen, message in response.events():
        last = last_seen or last
        if message is not None:
            received.append(message["params"]["progress"])
        if len(received) == 5:
            break
    response.close()
    resumed = client.get(last_event_id=last)
    check(f"{name}: a call can be resumed", resumed.status == 200, resumed.status)
    for _, message in resumed.messages():
        if "id" in message:
            break
        received.append(message["params"]["progress"])
    check(f"{name}: nothing is lost or repeated", received == list(range(1, 21)), received)
    resumed.close()
    client.delete()


def check_posts(name, address):
    lost, done, lock = [], {"sent": 0, "resumed": 0}, threading.Lock()
    pauses = [0, 0.001]
    for timeout in [HEADERS, PROXY_IDLE, IDLE]:
        pauses += [timeout + offset for offset in (-0.02, -0.005, 0, 0.005, 0.02)]

    def work(seed):
        rng = random.Random(seed)
        client = Client(address)
        client.open()
        for _ in range(POSTS // CLIENTS):
            try:
                # The connection of the client is new; the upstream connection may be reused.
                response = client.post("ping")
                events = list(response.events()) if response.status == 200 else []
                response.close()
                if events and events[-1][2] is None:
                    # The proxy closed the stream early: resume it.
                    with lock:
                        done["resumed"] += 1
                    resumed = client.get(last_event_id=events[-1][1])
                    events += resumed.events()
                    resumed.close()
                responses = [event for event in events if event[2] is not None]
                outcome = 200 if len(responses) == 1 else (response.status, events)
            except (OSError, ValueError) as error:
                outcome = repr(error)
            with lock:
                done["sent"] += 1
                if outcome != 200:
                    lost.append(outcome)
            time.sleep(rng.choice(pauses))
        client.delete()

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    check(f"{name}: all POSTs were sent", done["sent"] == POSTS, done)
    check(f"{name}: none of {POSTS} POSTs is lost", not lost, lost[:5])
    print(f"{name}: {done['resumed']} responses were cut off by the proxy and resumed")


def main():
    set_time_limit(110)
    program, name = sys.argv[1:3]
    directory = tempfile.mkdtemp()
    on_exit(lambda: shutil.rmtree(directory))
    options = ["--header-timeout", f"{HEADERS}s", "--connection-idle-timeout", f"{IDLE}s"]
    upstream = serve(program, *options, command=SERVER).address[1]
    port = free_port()
    start(PROXIES[name](directory, port, upstream), port, env={**os.environ, "HOME": directory})
    address = ("127.0.0.1", port)
    try:
        check_delivery(name, address)
        check_resume(name, address)
        check_posts(name, address)
    except (OSError, ValueError) as error:
        fail(f"{name}: {error!r}")
    finish()


main()
