-- Sends ready-made HTTP requests in turn and looks into every reply: nothing is built while the clock runs.
-- wrk ... -s requests.lua URL -- FILE MARK MARK
--   FILE         the requests, one after another; FILE.index: their lengths, one a line
--   MARK MARK    a 200 reply must contain one of the two
-- Prints one line of JSON last.

local requests, count, turn = {}, 0, 0
local find = string.find
local threads = {}
bad = 0
example = ""

function setup(thread) threads[#threads + 1] = thread end

function init(args)
  local data = assert(io.open(args[1], "rb"))
  for line in io.lines(args[1] .. ".index") do
    count = count + 1
    requests[count] = data:read(tonumber(line))
  end
  data:close()
  mark, other = args[2], args[3]
end

function request()
  turn = turn % count + 1
  return requests[turn]
end

function response(status, headers, body)
  if status == 200 and (find(body, mark, 1, true) or find(body, other, 1, true)) then return end
  bad = bad + 1
  if example == "" then example = status .. " " .. string.sub(body, 1, 300) end
end

local function quoted(text)
  return '"' .. string.gsub(string.gsub(text, '[%c]', ' '), '["\\]', '\\%0') .. '"'
end

function done(summary, latency, _)
  local wrong, first = 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("bad")
    if first == "" then first = thread:get("example") end
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"max_ms":%.4f,"bad":%d,"socket_errors":%d,"example":%s}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, wrong, errors.connect + errors.read + errors.write + errors.timeout, quoted(first)))
end
