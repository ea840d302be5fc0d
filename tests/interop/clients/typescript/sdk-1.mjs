// The TypeScript SDK 1.x: `node sdk-1.mjs URL`.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
    CreateMessageRequestSchema,
    ElicitRequestSchema,
    LoggingMessageNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';

import { converse } from './conversation.mjs';
import { adapt, sampled, elicited } from './sdk.mjs';

async function connect(url, fetch, { sample, elicit, log }) {
    const capabilities = { sampling: {}, elicitation: {} };
    const client = new Client({ name: 'interop', version: '1' }, { capabilities });
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => sampled(params, sample));
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => elicited(params, elicit));
    client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => log(params.data));
    const transport = new StreamableHTTPClientTransport(new URL(url), { fetch });
    await client.connect(transport);
    const call = (params, options) => client.callTool(params, undefined, options);
    return adapt(client, transport, call);
}

await converse('TypeScript 1.x', process.argv[2], connect);
