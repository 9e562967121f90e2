-- Stands before every script of an epoch, behind the constants that were written into its text
-- when the epoch was published (see scripts.rs):
--   PREFIX                  what every key of the epoch begins with
--   POINTER                 the key of the current pointer
--   EPOCH                   the epoch's number
--   OF_EPOCH                the names of everything that an epoch has
--   MASTER_REPLID           the master's replication id when the epoch was rebuilt
--   ENTRIES_PER_GENERATION  of refusals
--   VERSION_FIRST, VERSION_LAST  where a record's version stands in its bytes, from 1
--   SUPPLIED_MAX            units that may ever be supplied of a SKU
--   CHECKS_STOCK            true, but in tests of the tests
-- Keys are not passed as KEYS: a script of one epoch can then never touch another one's data.

-- Why this is not the same uninterrupted master with the epoch's data, or nil (PROTOCOL.md, "The
-- continuity check"). Asked at the start of every script, once for all that the call carries.
local function why_closed()
  local replication = redis.call('INFO', 'replication')
  if not string.find(replication, 'role:master', 1, true) then
    return 'CLOSED this server is a replica'
  end
  if not string.find(replication, 'master_replid:' .. MASTER_REPLID, 1, true) then
    return 'CLOSED the replication id has changed'
  end
  if redis.call('EXISTS', PREFIX .. 'marker') == 0 then
    return 'CLOSED the marker of epoch ' .. EPOCH .. ' is gone'
  end
end

-- Ends the call before its first write.
local function damaged(what)
  error({ err = 'DAMAGED ' .. what })
end

-- Lua's unpack ends near 8000 values.
local FIELDS_PER_CALL = 3000

-- A hash as this call sees it: what was read, overlaid with what it is going to write. All checks
-- come before the first write because writes wait for flush.
local function view(name)
  return { key = PREFIX .. name, seen = {}, writes = {}, drops = {} }
end

-- Reads many fields at once; it costs far less than one by one.
local function prefetch(hash, fields)
  for first = 1, #fields, FIELDS_PER_CALL do
    local last = math.min(first + FIELDS_PER_CALL - 1, #fields)
    local found = redis.call('HMGET', hash.key, unpack(fields, first, last))
    for i = 1, #found do
      hash.seen[fields[first + i - 1]] = found[i]
    end
  end
end

-- A field's value, or false.
local function get(hash, field)
  local value = hash.seen[field]
  if value == nil then
    value = redis.call('HGET', hash.key, field)
    hash.seen[field] = value
  end
  return value
end

local function put(hash, field, value)
  local writes = hash.writes
  hash.seen[field] = value
  writes[#writes + 1] = field
  writes[#writes + 1] = value
end

local function drop(hash, field)
  hash.seen[field] = false
  hash.drops[#hash.drops + 1] = field
end

local function flush(hash)
  for first = 1, #hash.writes, 2 * FIELDS_PER_CALL do
    local last = math.min(first + 2 * FIELDS_PER_CALL - 1, #hash.writes)
    redis.call('HSET', hash.key, unpack(hash.writes, first, last))
  end
  for first = 1, #hash.drops, FIELDS_PER_CALL do
    local last = math.min(first + FIELDS_PER_CALL - 1, #hash.drops)
    redis.call('HDEL', hash.key, unpack(hash.drops, first, last))
  end
end

local items, aggregates, latest = view('items'), view('aggregates'), view('latest')
local pending, claims, keys, meta = view('pending'), view('claims'), view('keys'), view('meta')

-- Numbers are exact up to 2^53, but tostring(1e14) is '1e+14'; '%d' is 64 bits wide in Redis' Lua
-- and far cheaper than '%.0f'.
local function digits(number)
  return string.format('%d', number)
end

local values, changed_values = {}, {}

-- A SKU's value as a table, or false. Who changes it says so with put_value.
local function value_of(sku)
  local value = values[sku]
  if value == nil then
    value = get(items, sku)
    if value then
      local available, supplied, status, version, terms =
        string.match(value, '^(-?%d+)|(%d+)|([AD])|(%d+)|(.+)$')
      if not available then
        damaged('the value of item ' .. sku .. ' cannot be read')
      end
      value = {
        available = tonumber(available),
        supplied = tonumber(supplied),
        status = status,
        version = tonumber(version),
        terms = terms,
      }
    end
    values[sku] = value
  end
  return value
end

local function packed(value)
  return string.format('%d|%d|%s|%d|%s',
    value.available, value.supplied, value.status, value.version, value.terms)
end

local function put_value(sku, value)
  values[sku] = value
  changed_values[sku] = value
end

-- Packed once a call: a SKU that everybody wants is changed by every command of it.
local function flush_values()
  for sku, value in pairs(changed_values) do
    put(items, sku, packed(value))
  end
  flush(items)
end

-- The pending record that a SKU without a value waits for; nil where the SKU is unknown, which
-- needs neither value nor snapshot nor anything pending. Other combinations are damage.
local function awaited(sku)
  local item = 'inventory:' .. sku
  local record, snapshot = get(latest, item), get(aggregates, item)
  if not record and not snapshot then
    return nil
  end
  if not record then
    damaged('item ' .. sku .. ' has a snapshot, but no value')
  end
  if not snapshot then
    damaged('item ' .. sku .. ' has no snapshot')
  end
  return record
end

-- Version and snapshot of an aggregate, or nil. One that has something pending, or is an item
-- with a value, exists.
local function aggregate_of(name)
  local aggregate = get(aggregates, name)
  if not aggregate then
    local sku = string.match(name, '^inventory:(.+)$')
    if get(latest, name) or (sku and get(items, sku)) then
      damaged(name .. ' has no snapshot')
    end
    return nil
  end
  local version, snapshot = string.match(aggregate, '^(%d+)|(.*)$')
  if not version then
    damaged('the snapshot of ' .. name .. ' cannot be read')
  end
  return tonumber(version), snapshot
end

-- Version and predecessor ('' for none) of a pending record, or nil.
local function pending_of(record)
  local decided = get(pending, record)
  if not decided then
    return nil
  end
  local version, predecessor = string.match(decided, '^[^|]*|(%d+)|([^|]*)|')
  if not version then
    damaged('pending record ' .. record .. ' cannot be read')
  end
  return tonumber(version), predecessor
end

-- The newest generation of refusals.
local function newest_generation()
  local generation = get(meta, 'generation')
  if not generation then
    damaged('the generation of refusals is gone')
  end
  return tonumber(generation)
end
