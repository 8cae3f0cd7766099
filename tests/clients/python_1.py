"""The 1.x Python SDK as a client: python_1.py http URL | sse URL | stdio COMMAND [ARGUMENT...]."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from importlib.metadata import version

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import get_default_environment, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

KIND, TARGET, *ARGUMENTS = sys.argv[1:]


@asynccontextmanager
async def streams():
    own = {name: value for name, value in os.environ.items() if name.startswith("SOUVENIR_")}
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"} if "TOKEN" in os.environ else {}
    if KIND == "stdio":
        server = StdioServerParameters(command=TARGET, args=ARGUMENTS, env=get_default_environment() | own)
        async with stdio_client(server) as (read, write):
            yield read, write
    elif KIND == "sse":
        async with sse_client(TARGET, headers=headers) as (read, write):
            yield read, write
    else:
        async with (
            httpx.AsyncClient(headers=headers, timeout=60, follow_redirects=True) as web,
            streamable_http_client(TARGET, http_client=web) as (read, write, _session_id),
        ):
            yield read, write


async def main():
    async with (
        streams() as (read, write),
        ClientSession(read, write, client_info=Implementation(name="python-1", version="1.0.0")) as session,
    ):
        started = await session.initialize()
        tools = (await session.list_tools()).tools
        added = await session.call_tool("add_memory", {"content": f"Anna likes black tea ({KIND})"})
        found = await session.call_tool("search_memory", {"query": "tea"})
        profile = await session.read_resource("memory://profile")
        prompt = await session.get_prompt("recall", {"topic": "tea"})
        print(
            json.dumps(
                {
                    "sdk": version("mcp"),
                    "protocol": started.protocolVersion,
                    "tools": [tool.name for tool in tools],
                    "added": added.structuredContent,
                    "found": found.structuredContent,
                    "errors": [added.isError, found.isError],
                    "profile": len(profile.contents),
                    "prompt": len(prompt.messages),
                }
            )
        )


asyncio.run(main())
