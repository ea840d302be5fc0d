"""Late progress with the Python SDK 1.x: `python late_progress_1.py URL`."""

import sys
from contextlib import asynccontextmanager

import httpx
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client

from checks import run
from late_progress import check_late_progress


@asynccontextmanager
async def connect(url, http, on_message):
    async with (
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write, message_handler=on_message) as session,
    ):
        await session.initialize()

        async def cancel():
            # In this SDK, a request can only be cancelled by sending the notification.
            params = types.CancelledNotificationParams(requestId=session._request_id - 1)
            notification = types.CancelledNotification(params=params)
            await session.send_notification(types.ClientNotification(notification))

        yield session, cancel


run(check_late_progress("Python 1.x", httpx, sys.argv[1], connect))
