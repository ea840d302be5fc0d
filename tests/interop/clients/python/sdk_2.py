"""The Python SDK 2.x, with and without negotiation of a newer protocol version:
`python sdk_2.py URL`."""

import sys
from contextlib import asynccontextmanager

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

from conversation import converse
from checks import run
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
