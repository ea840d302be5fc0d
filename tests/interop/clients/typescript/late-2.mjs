// Late progress and the TypeScript SDK 2.x: `node late-2.mjs URL`.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { isLate } from './late.mjs';

async function connect(url, fetch, onerror) {
    const client = new Client({ name: 'interop', version: '2' });
    const transport = new StreamableHTTPClientTransport(new URL(url), { fetch });
    client.onerror = onerror;
    await client.connect(transport);
    const call = (name, input, options) => client.callTool({ name, arguments: input }, options);
    return { call, close: () => client.close() };
}

await isLate('TypeScript 2.x', process.argv[2], connect);
