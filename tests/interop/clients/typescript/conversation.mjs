// Conversation of an SDK client with the test server.

import { check, checkEqual, until } from './checks.mjs';
import { Wire } from './wire.mjs';

const VERSION = '2025-11-25';
const TOOLS = ['echo', 'count', 'ask', 'complete', 'poll', 'announce'];

// `connect` takes the URL, a `fetch` function, and handlers of server requests and log messages.
// It returns a client as defined in `sdk.mjs`.
export async function converse(name, url, connect) {
    const wire = new Wire();
    const logged = [];
    const client = await connect(url, wire.fetch, {
        sample: (prompt) => `sampled ${prompt}`,
        elicit: (question) => `elicited ${question}`,
        log: (data) => logged.push(data),
    });
    const conversation = { name, url, wire, logged, client };
    await initializes(conversation);
    await callsTools(conversation);
    await getsErrors(conversation);
    await receivesLogMessages(conversation);
    await answersServerRequests(conversation);
    await callsConcurrently(conversation);
    await polls(conversation);
    await resumesAfterDisconnects(conversation);
    await terminates(conversation);
}

async function initializes({ name, wire, client }) {
    checkEqual(`${name} initializes`, client.version(), VERSION);
    checkEqual(`${name} gets the server info`, client.server().name, 'rejoin-test-server');
    check(`${name} has a session`, client.session()?.length > 0, client.session());
    await until(`${name} opens the standalone stream`, () =>
        wire.exchanges.some(({ method, status }) => method === 'GET' && status === 200),
    );
}

async function callsTools({ name, client }) {
    const tools = await client.list();
    check(`${name} lists tools`, TOOLS.every((tool) => tools.includes(tool)), tools);
    checkEqual(`${name} calls`, await client.call('echo', { message: 'grüße ✓' }), 'grüße ✓');
    await countsWithProgress(client, 5, 1, `${name} receives progress`);
}

async function getsErrors({ name, client }) {
    const error = await client.call('unknown', {}).catch((error) => error);
    checkEqual(`${name} gets an error response`, error.code, -32602);
}

async function countsWithProgress(client, total, interval, text) {
    const received = [];
    const input = { total, interval_ms: interval };
    const result = await client.call('count', input, ({ progress }) => received.push(progress));
    checkEqual(`${text}, and the response`, result, `counted to ${total}`);
    checkEqual(`${text}, each once and in order`, received, upTo(total));
}

async function receivesLogMessages({ name, wire, logged, client }) {
    await client.setLevel('error');
    await announce(client, 1);
    // Longer than the announcement takes, which may follow the response.
    await client.call('count', { total: 1, interval_ms: 100 });
    await client.setLevel('debug');
    await announce(client, 3);
    await until(`${name} receives log messages`, () => logged.length >= 3);
    const level = `${name} receives only messages of the requested level`;
    checkEqual(level, logged.splice(0), announcements(3));
    const where = wire.exchanges.filter(({ text }) => text.includes('announcement 3 of 3'));
    const methods = where.map(({ method }) => method);
    checkEqual(`${name} receives them on the GET stream`, methods, ['GET']);
}

async function answersServerRequests({ name, client }) {
    const completed = await client.call('complete', { prompt: 'this' });
    checkEqual(`${name} samples`, completed, 'the model said: sampled this');
    const asked = await client.call('ask', { question: 'that' });
    checkEqual(`${name} elicits`, asked, 'the user said: elicited that');
}

async function callsConcurrently({ name, client }) {
    const numbers = upTo(8);
    await Promise.all(
        numbers.map(async (number) => {
            const text = `${name}, call ${number} at once,`;
            const [completed, asked] = await Promise.all([
                client.call('complete', { prompt: `${number}` }),
                client.call('ask', { question: `${number}` }),
                countsWithProgress(client, 20 + number, 2, `${text} receives progress`),
            ]);
            checkEqual(`${text} samples`, completed, `the model said: sampled ${number}`);
            checkEqual(`${text} elicits`, asked, `the user said: elicited ${number}`);
        }),
    );
}

async function polls({ name, wire, client }) {
    const before = wire.resumes().length;
    const text = await client.call('poll', { ms: 300 });
    check(`${name} polls`, text.endsWith('closed meanwhile'), text);
    const resumes = wire.resumes().slice(before);
    check(`${name} resumes for the response`, resumes.at(-1)?.text.includes(text), resumes);
}

async function resumesAfterDisconnects({ name, wire, logged, client }) {
    const cutAt = (marker) => {
        const before = wire.resumes().length;
        wire.cutAt(marker);
        return () => wire.hasCut && wire.resumes().length > before;
    };
    const isCutDuringCall = cutAt(/"progress":5\b/);
    const text = `${name}, disconnected during a call, receives progress`;
    await countsWithProgress(client, 30, 20, text);
    check(`${name} was disconnected during a call and resumed`, isCutDuringCall());

    const isCutOnStandalone = cutAt(/announcement 5 of 30/);
    await announce(client, 30, 20);
    const last = 'announcement 30 of 30';
    await until(`${name}, disconnected from the standalone stream, receives ${last}`, () =>
        logged.includes(last),
    );
    checkEqual(`${name} received every announcement once`, logged.splice(0), announcements(30));
    check(`${name} was disconnected from the standalone stream and resumed`, isCutOnStandalone());
}

async function terminates({ name, url, wire, client }) {
    const session = client.session();
    await client.terminate();
    const ended = wire.exchanges.filter(({ method }) => method === 'DELETE');
    check(`${name} deletes its session`, ended.length === 1 && ended[0].status < 300, ended);
    await client.close();
    const response = await fetch(url, {
        method: 'POST',
        headers: {
            accept: 'application/json, text/event-stream',
            'content-type': 'application/json',
            'mcp-protocol-version': VERSION,
            'mcp-session-id': session,
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
    });
    checkEqual(`the session of ${name} no longer exists`, response.status, 404);
}

async function announce(client, count, interval = 1) {
    await client.call('announce', { count, interval_ms: interval });
}

function announcements(count) {
    return upTo(count).map((number) => `announcement ${number} of ${count}`);
}

function upTo(count) {
    return Array.from({ length: count }, (_, index) => index + 1);
}
