// Common interface of the SDK clients.

export function adapt(client, transport, call) {
    return {
        version: () => transport.protocolVersion,
        server: () => client.getServerVersion(),
        session: () => transport.sessionId,
        list: async () => (await client.listTools()).tools.map(({ name }) => name),
        call: async (name, input, onprogress) =>
            textOf(await call({ name, arguments: input }, { onprogress })),
        setLevel: (level) => client.setLoggingLevel(level),
        terminate: () => transport.terminateSession(),
        close: () => client.close(),
    };
}

export function sampled({ messages }, sample) {
    const text = sample([messages[0].content].flat()[0].text);
    return { model: 'none', role: 'assistant', content: { type: 'text', text } };
}

export function elicited({ message }, elicit) {
    return { action: 'accept', content: { answer: elicit(message) } };
}

export function textOf({ content }) {
    return content.map(({ text }) => text).join('');
}
