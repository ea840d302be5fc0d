// What a client of any SDK does with the demo server.

import { fact, sameFact, until } from './facts.mjs';
import { Wire } from './wire.mjs';

const VERSION = '2025-11-25';
const TOOLS = ['echo', 'count', 'ask', 'complete', 'poll', 'announce', 'nap'];

// `connect` is given the address, a `fetch`, and what to do when the server asks or
// tells something; it returns what `Client` needs.
export async function converse(name, url, connect) {
    const wire = new Wire();
    const logged = [];
    const client = await connect(url, wire.fetch, {
        sample: (prompt) => `sampled ${prompt}`,
        elicit: (question) => `elicited ${question}`,
        log: (data) => logged.push(data),
    });
    const conversation = { name, url, wire, logged, client };
    await begins(conversation);
    await calls(conversation);
    await isRefused(conversation);
    await hears(conversation);
    await isAsked(conversation);
    await doesAllAtOnce(conversation);
    await polls(conversation);
    await isCutOff(conversation);
    await ends(conversation);
}

async function begins({ name, wire, client }) {
    sameFact(`${name} initializes`, client.version(), VERSION);
    sameFact(`${name} learns who the server is`, client.server().name, 'rejoin-demo');
    fact(`${name} has a session`, client.session()?.length > 0, client.session());
    await until(`${name} opens the standalone stream`, () =>
        wire.exchanges.some(({ method, status }) => method === 'GET' && status === 200),
    );
}

async function calls({ name, client }) {
    const tools = await client.list();
    fact(`${name} lists tools`, TOOLS.every((tool) => tools.includes(tool)), tools);
    sameFact(`${name} calls`, await client.call('echo', { message: 'grüße ✓' }), 'grüße ✓');
    await counts(client, 5, 1, `${name} hears progress`);
}

async function isRefused({ name, client }) {
    const error = await client.call('unknown', {}).catch((error) => error);
    sameFact(`${name} is told of an error`, error.code, -32602);
}

async function counts(client, total, interval, text) {
    const heard = [];
    const input = { total, interval_ms: interval };
    const said = await client.call('count', input, ({ progress }) => heard.push(progress));
    sameFact(`${text}, and the answer`, said, `counted to ${total}`);
    sameFact(`${text}, each once and in order`, heard, upTo(total));
}

async function hears({ name, wire, logged, client }) {
    await client.setLevel('error');
    await announce(client, 1);
    // Longer than the announcement takes.
    await client.call('nap', { ms: 100 });
    await client.setLevel('debug');
    await announce(client, 3);
    await until(`${name} hears log messages`, () => logged.length >= 3);
    sameFact(`${name} hears those that it wants`, logged.splice(0), announcements(3));
    const where = wire.exchanges.filter(({ text }) => text.includes('announcement 3 of 3'));
    sameFact(`${name} hears them by GET`, where.map(({ method }) => method), ['GET']);
}

async function isAsked({ name, client }) {
    const completed = await client.call('complete', { prompt: 'this' });
    sameFact(`${name} samples`, completed, 'the model said: sampled this');
    const asked = await client.call('ask', { question: 'that' });
    sameFact(`${name} elicits`, asked, 'the user said: elicited that');
}

async function doesAllAtOnce({ name, client }) {
    const numbers = upTo(8);
    await Promise.all(
        numbers.map(async (number) => {
            const text = `${name}, call ${number} at once,`;
            const [completed, asked] = await Promise.all([
                client.call('complete', { prompt: `${number}` }),
                client.call('ask', { question: `${number}` }),
                counts(client, 20 + number, 2, `${text} hears progress`),
            ]);
            sameFact(`${text} samples`, completed, `the model said: sampled ${number}`);
            sameFact(`${text} elicits`, asked, `the user said: elicited ${number}`);
        }),
    );
}

async function polls({ name, wire, client }) {
    const before = wire.resumes().length;
    const said = await client.call('poll', { ms: 300 });
    fact(`${name} polls`, said.endsWith('closed meanwhile'), said);
    const resumes = wire.resumes().slice(before);
    fact(`${name} comes back for the answer`, resumes.at(-1)?.text.includes(said), resumes);
}

async function isCutOff({ name, wire, logged, client }) {
    const cutAt = (marker) => {
        const before = wire.resumes().length;
        wire.cutAt(marker);
        return () => wire.hasCut && wire.resumes().length > before;
    };
    const isCutInCall = cutAt(/"progress":5\b/);
    await counts(client, 30, 20, `${name}, cut off in a call, hears progress`);
    fact(`${name} was cut off in a call, and resumed`, isCutInCall());

    const isCutOutside = cutAt(/announcement 5 of 30/);
    await announce(client, 30, 20);
    await until(`${name}, cut off from the standalone stream, hears the end`, () =>
        logged.includes('announcement 30 of 30'),
    );
    sameFact(`${name} missed nothing and heard nothing twice`, logged.splice(0), announcements(30));
    fact(`${name} was cut off from the standalone stream, and resumed`, isCutOutside());
}

async function ends({ name, url, wire, client }) {
    const session = client.session();
    await client.terminate();
    const ended = wire.exchanges.filter(({ method }) => method === 'DELETE');
    fact(`${name} ends its session`, ended.length === 1 && ended[0].status < 300, ended);
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
    sameFact(`the session of ${name} is no more`, response.status, 404);
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
