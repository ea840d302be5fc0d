"""Gateways: installation, and commands that serve a stdio server.

Versions and directories are the same as in the benchmark.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
WORKSPACE = HERE.parents[2]
INSTALLED = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target")) / "bench"
CHILD = [sys.executable, str(HERE / "server.py")]


def npm(package, file):
    directory = INSTALLED / "npm" / package
    if not (directory / file).exists():
        directory.mkdir(parents=True, exist_ok=True)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(directory)]
        subprocess.run(["npm", "install", *quiet, package], check=True, stdout=sys.stderr)
    return str(directory / file)


def rejoin(port):
    program = os.environ.get("REJOIN", str(INSTALLED.parent / "debug" / "rejoin"))
    return [program, "serve", "--listen", f"127.0.0.1:{port}", "--", *CHILD]


def supergateway(port):
    script = npm("supergateway@4.0.0", "node_modules/supergateway/dist/index.js")
    command = ["node", script, "--stdio", " ".join(CHILD), "--port", str(port)]
    return [*command, "--outputTransport", "streamableHttp", "--stateful"]


def npm_proxy(port):
    script = npm("mcp-proxy@6.7.19", "node_modules/.bin/mcp-proxy")
    return ["node", script, "--port", str(port), "--server", "stream", "--", *CHILD]


def pypi_proxy(port):
    directory = INSTALLED / "pypi"
    program = directory / "bin" / "mcp-proxy"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "mcp-proxy==0.13.0"], check=True)
    return [str(program), "--port", str(port), "--", *CHILD]


def crate_proxy(port):
    directory = INSTALLED / "cargo"
    program = directory / "bin" / "mcp-proxy"
    if not program.exists():
        install = ["cargo", "install", "--locked", "--no-default-features"]
        subprocess.run([*install, "--root", str(directory), "mcp-proxy@0.6.0"], check=True)
    config = directory / f"proxy-{port}.toml"
    command, *arguments = (f'"{part}"' for part in CHILD)
    config.write_text(
        f'[proxy]\nname = "probe"\nseparator = "/"\n'
        f'[proxy.listen]\nhost = "127.0.0.1"\nport = {port}\n'
        f'[[backends]]\nname = "child"\ntransport = "stdio"\n'
        f"command = {command}\nargs = [{', '.join(arguments)}]\n"
    )
    return [str(program), "--config", str(config)]


class System:
    """A gateway: name, command, path of the endpoint and prefix of tool names."""

    def __init__(self, name, command, path="/mcp", prefix=""):
        self.name, self.command, self.path, self.prefix = name, command, path, prefix


ALL = {
    "supergateway": System("supergateway 4.0.0", supergateway),
    "npm": System("mcp-proxy 6.7.19 (npm)", npm_proxy),
    "pypi": System("mcp-proxy 0.13.0 (PyPI)", pypi_proxy),
    "crate": System("mcp-proxy 0.6.0 (crate)", crate_proxy, path="/", prefix="child/"),
    "rejoin": System("rejoin", rejoin),
}


class Running:
    """A running gateway in a process group of its own."""

    def __init__(self, system):
        self.system = system
        self.port = free_port()
        self.process = subprocess.Popen(
            system.command(self.port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_until_listening()

    def _wait_until_listening(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.system.name} exited with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.system.name} does not listen")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
