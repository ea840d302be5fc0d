// The TypeScript SDK 2.x, with and without negotiation of a newer protocol version:
// `node sdk-2.mjs URL`.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { converse } from './conversation.mjs';
import { adapt, sampled, elicited } from './sdk.mjs';

function negotiating(mode) {
    return async (url, fetch, { sample, elicit, log }) => {
        const capabilities = { sampling: {}, elicitation: {} };
        const options = { capabilities, versionNegotiation: { mode } };
        const client = new Client({ name: 'interop', version: '2' }, options);
        client.setRequestHandler('sampling/createMessage', ({ params }) => sampled(params, sample));
        client.setRequestHandler('elicitation/create', ({ params }) => elicited(params, elicit));
        client.setNotificationHandler('notifications/message', ({ params }) => log(params.data));
        const transport = new StreamableHTTPClientTransport(new URL(url), { fetch });
        await client.connect(transport);
        const call = (params, options) => client.callTool(params, options);
        return adapt(client, transport, call);
    };
}

for (const mode of ['legacy', 'auto']) {
    await converse(`TypeScript 2.x (${mode})`, process.argv[2], negotiating(mode));
}
