// Progress notifications after their request was cancelled or answered.

import { check, checkEqual, pause, until } from './checks.mjs';
import { Wire } from './wire.mjs';
import { textOf } from './sdk.mjs';

// Longer than the server continues after the end of a call.
const SETTLE_MS = 1_000;

// `connect` takes the URL, a `fetch` function and an error handler. It returns `call`, which takes
// a tool name, arguments and options, and `close`.
export async function testLateProgress(name, url, connect) {
    const wire = new Wire();
    const errors = [];
    const { call, close } = await connect(url, wire.fetch, (error) => errors.push(error));
    const checkNoErrors = (text) => {
        checkEqual(`${name}, ${text}: no error`, errors.map(String), []);
        const refused = wire.resumes().filter(({ status }) => status >= 400);
        checkEqual(`${name}, ${text}: no resume is refused`, refused, []);
    };

    const abort = new AbortController();
    const received = [];
    const onprogress = ({ progress }) => received.push(progress);
    const cancelled = call('cancelled', { ms: 600 }, { signal: abort.signal, onprogress });
    const outcome = cancelled.then(
        () => 'answered',
        () => 'cancelled',
    );
    await until(`${name} receives progress`, () => received.length >= 3);
    abort.abort();
    checkEqual(`${name} cancels`, await outcome, 'cancelled');
    await pause(SETTLE_MS);
    checkNoErrors('progress after cancellation');

    const result = await call('answered', {}, { onprogress: () => {} });
    checkEqual(`${name} gets the response`, textOf(result), 'answered');
    await pause(SETTLE_MS);
    checkNoErrors('progress after the response');

    wire.cutAt(/"progress": ?5\b/);
    const resumed = await call('late', { ms: 600 }, { onprogress: () => {} });
    checkEqual(`${name} resumes after a disconnect`, textOf(resumed), 'late');
    check(`${name} was disconnected`, wire.hasCut && wire.resumes().length > 0);
    await close();
    const unexpected = errors.filter(isUnexpected);
    checkEqual(`${name} closes: no error except for the disconnect`, unexpected, []);
}

function isUnexpected(error) {
    return !String(error).includes('the connection was cut');
}
