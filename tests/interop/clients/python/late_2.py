"""Late progress and the Python SDK 2.x: `python late_2.py URL`."""

import sys
from contextlib import asynccontextmanager

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

from facts import run
from late import is_late


@asynccontextmanager
async def connect(url, http, hear):
    async def cancel():
        """The SDK does it when the call is cancelled."""

    transport = streamable_http_client(url, http_client=http)
    async with mcp.Client(transport, message_handler=hear) as client:
        yield client, cancel


run(is_late("Python 2.x", httpx2, sys.argv[1], connect))
