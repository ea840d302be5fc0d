// `fetch` that records all exchanges and can cut a connection.

// Number of bytes removed from the end of the last chunk, so that its last event is incomplete.
const LOST_BYTES = 5;

export class Wire {
    // One per HTTP request: method, `Last-Event-ID`, status, and the body received so far.
    exchanges = [];

    #marker;

    // Cuts the connection within the event that contains `marker`.
    cutAt(marker) {
        this.#marker = marker;
    }

    get hasCut() {
        return this.#marker === undefined;
    }

    resumes() {
        return this.exchanges.filter((it) => it.method === 'GET' && it.lastEventId !== null);
    }

    fetch = async (url, init = {}) => {
        const headers = new Headers(init.headers);
        const method = init.method ?? 'GET';
        const lastEventId = headers.get('last-event-id');
        const exchange = { method, lastEventId, status: null, text: '' };
        this.exchanges.push(exchange);
        const response = await fetch(url, init);
        exchange.status = response.status;
        if (response.body === null) return response;
        return new Response(this.#record(response.body, exchange), response);
    };

    #record(body, exchange) {
        const reader = body.getReader();
        const decoder = new TextDecoder();
        let isCut = false;
        const pull = async (controller) => {
            if (isCut) return controller.error(new Error('the connection was cut'));
            const { done, value } = await reader.read();
            if (done) return controller.close();
            exchange.text += decoder.decode(value, { stream: true });
            if (this.#marker?.test(exchange.text)) {
                this.#marker = undefined;
                isCut = true;
                controller.enqueue(value.subarray(0, value.length - LOST_BYTES));
                return reader.cancel();
            }
            controller.enqueue(value);
        };
        const cancel = (reason) => reader.cancel(reason);
        return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
    }
}
