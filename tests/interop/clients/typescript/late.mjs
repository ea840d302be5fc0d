// What becomes of progress that a server sends after its call was cancelled or answered.

import { fact, sameFact, until, pause } from './facts.mjs';
import { Wire } from './wire.mjs';
import { textOf } from './sdk.mjs';

// Longer than the server goes on after the end of a call.
const GOES_ON_MS = 1_000;

// `connect` is given the address, a `fetch`, and what to do with an error; it returns
// `call`, which takes the name of a tool, its arguments and options, and `close`.
export async function isLate(name, url, connect) {
    const wire = new Wire();
    const errors = [];
    const { call, close } = await connect(url, wire.fetch, (error) => errors.push(error));
    const silent = (text) => {
        sameFact(`${name}, ${text}: no error`, errors.map(String), []);
        const refused = wire.resumes().filter(({ status }) => status >= 400);
        sameFact(`${name}, ${text}: no resume is refused`, refused, []);
    };

    const abort = new AbortController();
    const heard = [];
    const onprogress = ({ progress }) => heard.push(progress);
    const cancelled = call('late', { ms: 600 }, { signal: abort.signal, onprogress });
    const outcome = cancelled.then(
        () => 'answered',
        () => 'cancelled',
    );
    await until(`${name} hears progress`, () => heard.length >= 3);
    abort.abort();
    sameFact(`${name} cancels`, await outcome, 'cancelled');
    await pause(GOES_ON_MS);
    silent('with progress after it cancelled');

    const said = await call('answered', {}, { onprogress: () => {} });
    sameFact(`${name} is answered`, textOf(said), 'answered');
    await pause(GOES_ON_MS);
    silent('with progress after the answer');

    wire.cutAt(/"progress": ?5\b/);
    const resumed = await call('late', { ms: 600 }, { onprogress: () => {} });
    sameFact(`${name}, cut off, resumes`, textOf(resumed), 'late');
    fact(`${name} was cut off`, wire.hasCut && wire.resumes().length > 0);
    await close();
    sameFact(`${name} closes: no error but that of the cut`, errors.filter(isUnexpected), []);
}

function isUnexpected(error) {
    return !String(error).includes('the connection was cut');
}
