// What was checked: a line for each fact, and an exit at the first that is none.

import { inspect } from 'node:util';

const DEADLINE_MS = 60_000;

let latest = 'the beginning';

export function fact(text, holds, found) {
    if (!holds) fail(`${text}; found ${inspect(found, { depth: 6 })}`);
    console.log(`ok: ${text}`);
    latest = text;
}

export function sameFact(text, found, expected) {
    fact(text, JSON.stringify(found) === JSON.stringify(expected), found);
}

// Waits until `condition` holds: what the server says of itself comes when it comes.
export async function until(text, condition) {
    while (!condition()) await pause(5);
    fact(text, true);
}

export function pause(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

function fail(text) {
    console.log(`FAILED: ${text}`);
    process.exit(1);
}

setTimeout(() => fail(`in time; the latest fact is: ${latest}`), DEADLINE_MS).unref();
