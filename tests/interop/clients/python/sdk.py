"""Common interface of the SDK clients."""

from mcp import types


class Client:
    """A session or client of an SDK; `error` is its exception type for error responses."""

    def __init__(self, inner, version, server, error):
        self.version = version
        self.server = server
        self._inner = inner
        self._error = error

    async def list(self):
        return [tool.name for tool in (await self._inner.list_tools()).tools]

    async def call(self, name, arguments, on_progress=None):
        result = await self._inner.call_tool(name, arguments, progress_callback=on_progress)
        return "".join(content.text for content in result.content)

    async def error_of(self, name, arguments):
        try:
            return await self.call(name, arguments)
        except self._error as error:
            return error.error.code

    async def set_level(self, level):
        await self._inner.set_logging_level(level)


def callbacks(handlers):
    """Returns the callbacks for server requests and log messages."""

    async def sample(_context, params):
        prompt = params.messages[0].content.text
        text = types.TextContent(type="text", text=handlers.sample(prompt))
        return types.CreateMessageResult(role="assistant", content=text, model="none")

    async def elicit(_context, params):
        answer = handlers.elicit(params.message)
        return types.ElicitResult(action="accept", content={"answer": answer})

    async def log(params):
        handlers.log(params.data)

    return {"sampling_callback": sample, "elicitation_callback": elicit, "logging_callback": log}
