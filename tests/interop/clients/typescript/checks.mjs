// Checks: print one line each, and exit at the first that fails.

import { inspect } from 'node:util';

const DEADLINE_MS = 60_000;

let latest = 'none';

export function check(text, condition, actual) {
    if (!condition) fail(`${text}; got ${inspect(actual, { depth: 6 })}`);
    console.log(`ok: ${text}`);
    latest = text;
}

export function checkEqual(text, actual, expected) {
    check(text, JSON.stringify(actual) === JSON.stringify(expected), actual);
}

// Waits until `condition` is true: messages of the server arrive at any time.
export async function until(text, condition) {
    while (!condition()) await pause(5);
    check(text, true);
}

export function pause(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

function fail(text) {
    console.log(`FAILED: ${text}`);
    process.exit(1);
}

setTimeout(() => fail(`timeout; last passed check: ${latest}`), DEADLINE_MS).unref();
