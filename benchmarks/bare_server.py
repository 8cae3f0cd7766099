"""The smallest MCP server: what any stdio server on this SDK costs before it does anything."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("bare", version="1")


@server.tool()
async def nothing() -> str:
    """Do nothing."""
    return "nothing"


if __name__ == "__main__":
    server.run()
