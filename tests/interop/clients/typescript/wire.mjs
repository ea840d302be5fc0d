// What goes over the wire, as seen between the client and the sockets; and the place
// where connections are cut.

// How much of a chunk is lost when its connection is cut: the end of its last event.
const LOST_BYTES = 5;

export class Wire {
    // One for each HTTP request: method, the headers of the session, status, and the
    // text that the server has sent so far.
    exchanges = [];

    #marker;

    // Cuts the connection in the middle of the event in which the server says `marker`.
    cutAt(marker) {
        this.#marker = marker;
    }

    get hasCut() {
        return this.#marker === undefined;
    }

    resumes() {
        return this.exchanges.filter(({ method, seen }) => method === 'GET' && seen !== null);
    }

    fetch = async (url, init = {}) => {
        const headers = new Headers(init.headers);
        const method = init.method ?? 'GET';
        const exchange = { method, seen: headers.get('last-event-id'), status: null, text: '' };
        this.exchanges.push(exchange);
        const response = await fetch(url, init);
        exchange.status = response.status;
        if (response.body === null) return response;
        return new Response(this.#through(response.body, exchange), response);
    };

    #through(body, exchange) {
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
