-- For wrk: cycles through the request targets of a file, prints the results as one line of JSON.
--
--     wrk --threads 1 … --script load.lua URL -- TARGETS START CONNECTIONS PAUSE
--
-- TARGETS holds one path with its query a line, START is the number of the line to begin after.
-- Every connection is silent for PAUSE milliseconds once it is open: uvloop accepts one between two
-- rounds of requests, so under load the last ones would wait for seconds, and their first requests
-- with them.

local requests, count, position, opening, pause = {}, 0, 0, 0, 0

function init(args)
  for target in io.lines(args[1]) do
    count = count + 1
    requests[count] = wrk.format("GET", target)
  end
  position = tonumber(args[2]) % count
  opening, pause = tonumber(args[3]), tonumber(args[4])
end

function delay()
  if opening == 0 then
    return 0
  end
  opening = opening - 1
  return pause
end

function request()
  position = position % count + 1
  return requests[position]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "bytes": %d, '
      .. '"p50_us": %.1f, "p99_us": %.1f, "max_us": %.1f, '
      .. '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout
  ))
end
