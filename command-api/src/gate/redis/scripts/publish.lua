-- Recovery, step 4: makes the epoch current if the current one is lower. Compare and set in one
-- step, on the master on which it was rebuilt, and only if no higher rebuild deleted its data.
--
-- An epoch that was opened after this one deleted the lower ones ends here, in the same step: its
-- scripts would go on deciding beside this one's, and its "sold out" would not know of an attempt
-- of the same key here (S5; found by the model, M69).
--
-- ARGV[1]  the scripts' digests by name, as JSON
-- ARGV[2]  the epoch's fences by partition, as JSON

local closed = why_closed()
if closed then
  return redis.error_reply(closed)
end
-- A pointer that cannot be read names no epoch: the gate can always be put in order again.
local current = redis.pcall('HGET', POINTER, 'epoch')
local number = type(current) == 'string' and tonumber(current)
if number and number >= tonumber(EPOCH) then
  return redis.error_reply('CLOSED epoch ' .. current .. ' is current')
end
if number then
  local lower = string.sub(PREFIX, 1, -#EPOCH - 2) .. current .. ':'
  local of_epoch = {}
  for name in string.gmatch(OF_EPOCH, '%S+') do
    of_epoch[#of_epoch + 1] = lower .. name
  end
  redis.call('UNLINK', unpack(of_epoch))
end
redis.call('DEL', POINTER)
redis.call('HSET', POINTER, 'epoch', EPOCH, 'scripts', ARGV[1], 'fences', ARGV[2])
return 'OK'
