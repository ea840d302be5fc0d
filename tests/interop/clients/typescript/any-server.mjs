// Calls one tool of any server:
// `node any-server.mjs URL TOOL ARGUMENTS EXPECTED-PART-OF-THE-RESULT`.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { check } from './checks.mjs';
import { textOf } from './sdk.mjs';

const [url, tool, input, expected] = process.argv.slice(2);
const client = new Client({ name: 'interop', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);
const server = client.getServerVersion().name;
check(`${server} has a session`, transport.sessionId !== undefined);
const { tools } = await client.listTools();
check(`${server} lists ${tool}`, tools.some(({ name }) => name === tool), tools);
const result = await client.callTool({ name: tool, arguments: JSON.parse(input) });
const isExpected = !result.isError && textOf(result).includes(expected);
check(`${server} returns the expected result`, isExpected, result);
await transport.terminateSession();
check(`${server} ends its session`, transport.sessionId === undefined);
await client.close();
