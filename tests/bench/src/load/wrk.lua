-- Calls the tool `echo` in the sessions in turn, and checks every response.
-- Arguments: path, tool name, text, session ids ("-" if the server has none).
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  path, tool, text = arguments[1], arguments[2], arguments[3]
  sessions, id, wrong_responses = {}, 5000000, 0
  for index = 4, #arguments do
    table.insert(sessions, arguments[index])
  end
end

function request()
  id = id + 1
  local headers = {
    ["content-type"] = "application/json",
    ["accept"] = "application/json, text/event-stream",
    ["mcp-protocol-version"] = "2025-11-25",
  }
  local session = sessions[id % #sessions + 1]
  if session ~= "-" then
    headers["mcp-session-id"] = session
  end
  local body = '{"jsonrpc":"2.0","id":' .. id .. ',"method":"tools/call","params":{"name":"' .. tool
    .. '","arguments":{"message":"' .. text .. '","count":0}}}'
  return wrk.format("POST", path, headers, body)
end

function response(status, headers, body)
  if status ~= 200 or not body:find(text, 1, true) then
    wrong_responses = wrong_responses + 1
  end
end

function done(summary, latency, requests)
  local wrong = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong_responses")
  end
  io.write(string.format("RESULT %d %d %d %.1f %.1f\n", wrong, summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
