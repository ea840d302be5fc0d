// Late progress with the TypeScript SDK 2.x: `node late-progress-2.mjs URL`.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { testLateProgress } from './late-progress.mjs';

async function connect(url, fetch, onerror) {
    const client = new Client({ name: 'interop', version: '2' });
    const transport = new StreamableHTTPClientTransport(new URL(url), { fetch });
    client.onerror = onerror;
    await client.connect(transport);
    const call = (name, input, options) => client.callTool({ name, arguments: input }, options);
    return { call, close: () => client.close() };
}

await testLateProgress('TypeScript 2.x', process.argv[2], connect);
