"""Late progress with the Python SDK 2.x: `python late_progress_2.py URL`."""

import sys
from contextlib import asynccontextmanager

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

from checks import run
from late_progress import check_late_progress


@asynccontextmanager
async def connect(url, http, on_message):
    async def cancel():
        """The SDK cancels the request when the call is cancelled."""

    transport = streamable_http_client(url, http_client=http)
    async with mcp.Client(transport, message_handler=on_message) as client:
        yield client, cancel


run(check_late_progress("Python 2.x", httpx2, sys.argv[1], connect))
