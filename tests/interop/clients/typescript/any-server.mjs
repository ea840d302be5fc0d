// Any server, of which only a tool is known:
// `node any-server.mjs URL TOOL ARGUMENTS PART-OF-THE-ANSWER`.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { fact } from './facts.mjs';
import { textOf } from './sdk.mjs';

const [url, tool, input, part] = process.argv.slice(2);
const client = new Client({ name: 'interop', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);
const server = client.getServerVersion().name;
fact(`${server} has a session`, transport.sessionId !== undefined);
const { tools } = await client.listTools();
fact(`${server} lists ${tool}`, tools.some(({ name }) => name === tool), tools);
const answer = await client.callTool({ name: tool, arguments: JSON.parse(input) });
fact(`${server} answers`, !answer.isError && textOf(answer).includes(part), answer);
await transport.terminateSession();
fact(`${server} is let go`, transport.sessionId === undefined);
await client.close();
