"""Late progress and the Python SDK 1.x: `python late_1.py URL`."""

import sys
from contextlib import asynccontextmanager

import httpx
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client

from facts import run
from late import is_late


@asynccontextmanager
async def connect(url, http, hear):
    async with (
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write, message_handler=hear) as session,
    ):
        await session.initialize()

        async def cancel():
            # This SDK has no other way to cancel than to send the notification.
            params = types.CancelledNotificationParams(requestId=session._request_id - 1)
            notification = types.CancelledNotification(params=params)
            await session.send_notification(types.ClientNotification(notification))

        yield session, cancel


run(is_late("Python 1.x", httpx, sys.argv[1], connect))
