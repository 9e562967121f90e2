-- Pending records, some or all.
--
-- ARGV[1]  a cursor: '0' to begin a listing of all, and what the last call answered to go on;
--          or '' to ask for those in ARGV[2]
-- ARGV[2]  MessagePack array of record ids
-- Answers {cursor, record, packed, …}: the cursor is '0' at the end; a listing may name a record
-- twice; records that were settled meanwhile may be missing, others are not.
--   packed: '<partition>|<version>|<predecessor>|<payload>'

local RECORDS_PER_CALL = 500

local closed = why_closed()
if closed then
  return redis.error_reply(closed)
end

if ARGV[1] ~= '' then
  local page = redis.call('HSCAN', pending.key, ARGV[1], 'COUNT', RECORDS_PER_CALL)
  return { page[1], unpack(page[2]) }
end
local ids, answer = cmsgpack.unpack(ARGV[2]), { '0' }
prefetch(pending, ids)
for _, id in ipairs(ids) do
  local decided = get(pending, id)
  if decided then
    answer[#answer + 1] = id
    answer[#answer + 1] = decided
  end
end
return answer
