"""The Python SDK 2.x, as it is, which is to look for a newer protocol first, and when it
does not: `python sdk_2.py URL`."""

import sys
from contextlib import asynccontextmanager

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

from conversation import converse
from facts import run
from sdk import Client, callbacks


def negotiating(mode):
    @asynccontextmanager
    async def connect(url, http, handlers):
        transport = streamable_http_client(url, http_client=http)
        async with mcp.Client(transport, mode=mode, **callbacks(handlers)) as client:
            yield Client(client, client.protocol_version, client.server_info.name, mcp.MCPError)

    return connect


async def both():
    for mode in ["auto", "legacy"]:
        await converse(f"Python 2.x ({mode})", httpx2, sys.argv[1], negotiating(mode))


run(both())
