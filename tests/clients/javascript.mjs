// The JavaScript SDK as a client: node javascript.mjs http URL | sse URL | stdio COMMAND [ARGUMENT...]
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport, getDefaultEnvironment } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [kind, target, ...args] = process.argv.slice(2);
const own = Object.entries(process.env).filter(([name]) => name.startsWith("SOUVENIR_"));
const requestInit = process.env.TOKEN ? { headers: { Authorization: `Bearer ${process.env.TOKEN}` } } : undefined;
const transports = {
  http: () => new StreamableHTTPClientTransport(new URL(target), { requestInit }),
  sse: () => new SSEClientTransport(new URL(target), { requestInit }),
  // Only a few variables are inherited by default: none of SOUVENIR_*.
  stdio: () => new StdioClientTransport({
    command: target, args, env: { ...getDefaultEnvironment(), ...Object.fromEntries(own) },
  }),
};

const transport = transports[kind]();
const client = new Client({ name: "javascript", version: "1.0.0" });
await client.connect(transport);
const { tools } = await client.listTools(); // also compiles the output schemas: callTool checks answers against them
const added = await client.callTool({ name: "add_memory", arguments: { content: `Anna likes green tea (${kind})` } });
const found = await client.callTool({ name: "search_memory", arguments: { query: "tea" } });
console.log(JSON.stringify({
  server: client.getServerVersion(),
  protocol: transport.protocolVersion ?? null, // undefined for stdio
  tools: tools.map((tool) => tool.name),
  added: added.structuredContent ?? added,
  found: found.structuredContent ?? found,
  errors: [added.isError ?? false, found.isError ?? false],
}));
if (kind === "http") await transport.terminateSession();
await client.close();
