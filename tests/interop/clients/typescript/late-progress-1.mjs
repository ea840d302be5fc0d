// Late progress with the TypeScript SDK 1.x: `node late-progress-1.mjs URL`.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { testLateProgress } from './late-progress.mjs';

async function connect(url, fetch, onerror) {
    const client = new Client({ name: 'interop', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL(url), { fetch });
    client.onerror = onerror;
    await client.connect(transport);
    const call = (name, input, options) =>
        client.callTool({ name, arguments: input }, undefined, options);
    return { call, close: () => client.close() };
}

await testLateProgress('TypeScript 1.x', process.argv[2], connect);
