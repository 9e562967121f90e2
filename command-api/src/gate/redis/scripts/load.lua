-- Step 1: what commands are decided on. Changes nothing.
--
-- ARGV[1]  MessagePack array of looks, each {kind, name}:
--            'A', '<type>:<id>'   an aggregate
--            'C', '<claim>'       the user that owns a claim
--            'I', '<SKU>'         a SKU's value
-- Answers {generation, answer, …}, one answer per look:
--   'N'                              nothing
--   'A|<id>|<version>|<latest pending>|<snapshot>'
--   'I|<packed value>'
--   'P|<record>'                     no value yet: this record of its item is pending

local closed = why_closed()
if closed then
  return redis.error_reply(closed)
end

local looks = cmsgpack.unpack(ARGV[1])
local names = { A = {}, C = {}, I = {} }
for _, look in ipairs(looks) do
  local wanted = names[look[1]]
  wanted[#wanted + 1] = look[2]
end
prefetch(aggregates, names.A)
prefetch(latest, names.A)
prefetch(claims, names.C)
prefetch(items, names.I)

local function aggregate(name)
  local version, snapshot = aggregate_of(name)
  if not version then
    return 'N'
  end
  local id = string.match(name, '^[^:]*:(.*)$')
  return table.concat({ 'A', id, digits(version), get(latest, name) or '', snapshot }, '|')
end

local function claimed(name)
  local owner = get(claims, name)
  if not owner then
    return 'N'
  end
  local answer = aggregate('users:' .. owner)
  if answer == 'N' then
    damaged('users:' .. owner .. ' owns a claim, but has no snapshot')
  end
  return answer
end

local function item(sku)
  local value = value_of(sku)
  if value then
    return 'I|' .. packed(value)
  end
  local record = awaited(sku)
  return record and 'P|' .. record or 'N'
end

local answer_to = { A = aggregate, C = claimed, I = item }
local answers = { digits(newest_generation()) }
for _, look in ipairs(looks) do
  answers[#answers + 1] = answer_to[look[1]](look[2])
end
return answers
