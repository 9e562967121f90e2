-- Step 6: settles records that were read back as valid, predecessors before their successors.
-- All of the call is checked before its first write. It may run on a full Redis: what it frees
-- is what makes room.
--
-- ARGV[1]  MessagePack array of records, each an array in the order of the constants below.
-- ARGV[2]  MessagePack array {partition, offset, …}: where a new node's tails may start.
-- Answers {generation, answer, …}, one answer per record:
--   'D'  settled now
--   'B'  it was not pending: settled before
--   'P'  the record that makes its item's value is still pending, so this one stays pending too

local RECORD, AGGREGATE, POSITION = 1, 2, 3
local KEY = 4     -- or ''
local GIVES = 5   -- {SKU, units, …}
local CLAIMS = 6  -- given up: {name, owner, …}
local TERMS = 7   -- {version, status, terms as JSON, whether the record creates the item}, or {}

local closed = why_closed()
if closed then
  return redis.error_reply(closed)
end

local records, tails = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])

local function prefetch_all()
  local of_aggregates, of_items, of_keys, of_claims = {}, {}, {}, {}
  for i, record in ipairs(records) do
    of_aggregates[i] = record[AGGREGATE]
    if record[KEY] ~= '' then
      of_keys[#of_keys + 1] = record[KEY]
    end
    for give = 1, #record[GIVES], 2 do
      of_items[#of_items + 1] = record[GIVES][give]
    end
    for claim = 1, #record[CLAIMS], 2 do
      of_claims[#of_claims + 1] = record[CLAIMS][claim]
    end
  end
  prefetch(latest, of_aggregates)
  prefetch(items, of_items)
  prefetch(keys, of_keys)
  prefetch(claims, of_claims)
end

-- Asked without reading the record's bytes.
local function is_pending(record)
  if pending.seen[record] ~= nil then
    return pending.seen[record] ~= false
  end
  return redis.call('HEXISTS', pending.key, record) == 1
end

-- Whether the record that makes a SKU's value is still pending: it is the first of its item, at
-- the end of the chain of predecessors.
local function creation_is_pending(sku)
  local record = get(latest, 'inventory:' .. sku)
  while record and record ~= '' do
    local version, predecessor = pending_of(record)
    if version == 1 then
      return true
    end
    record = version and predecessor
  end
  return false
end

-- The key's entry without the position; a pending record's key is its own.
local function entry_of(record)
  local entry = get(keys, record[KEY])
  local head, id = string.match(entry or '', '^([^|]*|([^|]*)|[^|]*|[^|]*|)')
  if id ~= record[RECORD] then
    damaged('record ' .. record[RECORD] .. ' lost its key')
  end
  return head
end

-- The first SKU that has no value though the record is not the one that makes it, or nil.
local function missing_value(record, own)
  local creates = own and record[TERMS][4]
  for i = 1, #record[GIVES], 2 do
    local sku = record[GIVES][i]
    if not (creates and sku == own) and not value_of(sku) then
      return sku
    end
  end
  if own and not creates and not value_of(own) then
    return own
  end
end

-- Name, price and status together, and only where the record is newer than what they are from.
local function set_terms(sku, terms)
  local value = value_of(sku) or { available = 0, supplied = 0, version = 0 }
  if terms[1] > value.version then
    value.version, value.status, value.terms = terms[1], terms[2], terms[3]
    put_value(sku, value)
  end
end

local function settle(record)
  local id, own = record[RECORD], record[TERMS][1] and string.match(record[AGGREGATE], ':(.*)$')
  if not is_pending(id) then
    return 'B'
  end
  local missing = missing_value(record, own)
  if missing then
    if creation_is_pending(missing) then
      return 'P'
    end
    damaged('item ' .. missing .. ' has no value to settle on')
  end
  if record[KEY] ~= '' then
    put(keys, record[KEY], entry_of(record) .. record[POSITION])
  end
  if own then
    set_terms(own, record[TERMS])
  end
  for i = 1, #record[GIVES], 2 do
    local value = value_of(record[GIVES][i])
    value.available = value.available + record[GIVES][i + 1]
    put_value(record[GIVES][i], value)
  end
  for i = 1, #record[CLAIMS], 2 do
    if get(claims, record[CLAIMS][i]) == record[CLAIMS][i + 1] then
      drop(claims, record[CLAIMS][i])
    end
  end
  drop(pending, id)
  if get(latest, record[AGGREGATE]) == id then
    drop(latest, record[AGGREGATE])
  end
  return 'D'
end

prefetch_all()
local answers = { digits(newest_generation()) }
for i, record in ipairs(records) do
  answers[i + 1] = settle(record)
end
for i = 1, #tails, 2 do
  local field = 'tail:' .. tails[i]
  if tails[i + 1] > tonumber(get(meta, field) or -1) then
    put(meta, field, digits(tails[i + 1]))
  end
end

flush_values()
for _, hash in ipairs({ latest, pending, claims, keys, meta }) do
  flush(hash)
end
return answers
