-- Where a new node's tails may start: {partition, offset, …}, as settle stored them.

local closed = why_closed()
if closed then
  return redis.error_reply(closed)
end

local stored, starts = redis.call('HGETALL', meta.key), {}
for i = 1, #stored, 2 do
  local partition = string.match(stored[i], '^tail:(.*)$')
  if partition then
    starts[#starts + 1] = partition
    starts[#starts + 1] = stored[i + 1]
  end
end
return starts
