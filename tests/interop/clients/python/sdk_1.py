"""The Python SDK 1.x: `python sdk_1.py URL`."""

import sys
from contextlib import asynccontextmanager

import httpx
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client

from conversation import converse
from checks import run
from sdk import Client, callbacks


@asynccontextmanager
async def connect(url, http, handlers):
    async with (
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write, **callbacks(handlers)) as session,
    ):
        result = await session.initialize()
        yield Client(session, result.protocolVersion, result.serverInfo.name, McpError)


run(converse("Python 1.x", httpx, sys.argv[1], connect))
