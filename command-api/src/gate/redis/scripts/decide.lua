-- Step 2: decides commands, one after the other, each for itself. Those of one call see each
-- other's effects; all of the call is checked before its first write.
--
-- ARGV[1]  MessagePack array of commands, each an array in the order of the constants below.
-- Answers {generation, verdict, …}, one verdict per command:
--   'A|<version>|<predecessor>|<figures>'   accepted; figures '<SKU>,<available>,<supplied>;…'
--   'P|<record>|<aggregate id>|<position>'  the key's first attempt was accepted
--   'K'                                     the key belongs to another request
--   'R|<replayed: 0 or 1>|<rests on>|<refusal as JSON>'
--   'G'                                     the command's generation is over
--   'V'                                     the version has changed
--   'T' and lines '<SKU>|<packed value or nothing>'   terms have changed
--   'I|<SKU>|<record>'                      no value yet: this record of its item is pending
-- Nothing but 'A' and 'R' writes.

local RECORD, AGGREGATE, KEY, FINGERPRINT, GENERATION = 1, 2, 3, 4, 5
local TERMS = 6          -- {SKU, version, …}
local REFUSAL = 7        -- JSON where the domain refused; then nothing follows but RESTS_ON
local RESTS_ON = 8       -- the aggregate whose latest pending record the refusal rests on, or ''
local EXPECTED = 9       -- the version decided on; -1: the next, whatever it is
local PARTITION, PAYLOAD = 10, 11
local SNAPSHOT = 12      -- '' with EXPECTED = -1
local CLAIMS = 13        -- {name, owner, …}
local TAKES = 14         -- {SKU, units, …}
local ITEM = 15          -- the SKU of the record's own item where its value is needed, or ''
local SUPPLY = 16        -- change of supplied
local AVAILABLE = 17     -- compare-and-set: what must be available; -1: anything
local DISCONTINUED = 18  -- {version, terms as JSON}, or {}
local NAME = 19          -- set here: what the command is remembered by in a generation

local closed = why_closed()
if closed then
  return redis.error_reply(closed)
end

local generation = newest_generation()

local function slot(of)
  return 'refusals:' .. digits(of % 3)
end

local newest, previous = view(slot(generation)), generation > 0 and view(slot(generation - 1))
local commands = cmsgpack.unpack(ARGV[1])

local function name_of(command)
  if command[KEY] ~= '' then
    return 'key:' .. command[KEY]
  end
  return 'record:' .. command[RECORD]
end

local function prefetch_all()
  local of_keys, names, of_aggregates, of_items, of_claims = {}, {}, {}, {}, {}
  local wanted = {}
  local function want(sku)
    if not wanted[sku] then
      wanted[sku] = true
      of_items[#of_items + 1] = sku
    end
  end
  local function skus(pairs_of)
    for i = 1, #pairs_of, 2 do
      want(pairs_of[i])
    end
  end
  for i, command in ipairs(commands) do
    command[NAME] = name_of(command)
    names[i] = command[NAME]
    of_aggregates[i] = command[AGGREGATE]
    if command[KEY] ~= '' then
      of_keys[#of_keys + 1] = command[KEY]
    end
    skus(command[TERMS])
    if command[REFUSAL] == '' then
      skus(command[TAKES])
      if command[ITEM] ~= '' then
        want(command[ITEM])
      end
      for claim = 1, #command[CLAIMS], 2 do
        of_claims[#of_claims + 1] = command[CLAIMS][claim]
      end
    end
  end
  prefetch(keys, of_keys)
  prefetch(newest, names)
  if previous then
    prefetch(previous, names)
  end
  prefetch(aggregates, of_aggregates)
  prefetch(latest, of_aggregates)
  prefetch(items, of_items)
  prefetch(claims, of_claims)
end

-- Units summed per SKU, in order of first mention: the same SKU named twice is judged by its sum.
local function summed(takes)
  if #takes == 2 then
    return { takes[1] }, { [takes[1]] = takes[2] }
  end
  local order, sums = {}, {}
  for i = 1, #takes, 2 do
    local sku = takes[i]
    if not sums[sku] then
      order[#order + 1] = sku
    end
    sums[sku] = (sums[sku] or 0) + takes[i + 1]
  end
  return order, sums
end

local function accepted(command, version, predecessor)
  local figures, own = {}, command[ITEM]
  local function add(sku)
    local value = value_of(sku)
    if not value then
      damaged('item ' .. sku .. ' has no value')
    end
    figures[#figures + 1] = string.format('%s,%d,%d', sku, value.available, value.supplied)
  end
  if command[REFUSAL] == '' then
    local order, sums = summed(command[TAKES])
    for _, sku in ipairs(order) do
      add(sku)
    end
    if own ~= '' and not sums[own] and (command[SUPPLY] ~= 0 or command[AVAILABLE] ~= -1) then
      add(own)
    end
  end
  return string.format('A|%d|%s|%s', version, predecessor, table.concat(figures, ';'))
end

-- The first run's verdict; the figures are as they are now.
local function accepted_before(command, version)
  local _, predecessor = pending_of(command[RECORD])
  return accepted(command, tonumber(version), predecessor or '')
end

local function known_by_key(command, entry)
  local fingerprint, record, version, aggregate_id, position =
    string.match(entry, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$')
  if not fingerprint then
    damaged('an idempotency key cannot be read')
  end
  if fingerprint ~= command[FINGERPRINT] then
    return 'K'
  end
  -- A key of an earlier epoch has no version: its attempt cannot come again.
  if record == command[RECORD] and version ~= '' then
    return accepted_before(command, version)
  end
  return table.concat({ 'P', record, aggregate_id, position }, '|')
end

local function known_by_generation(command, entry)
  local fingerprint, record, outcome, rest = string.match(entry, '^([^|]*)|([^|]*)|([AR])|(.*)$')
  if not fingerprint then
    damaged('a remembered refusal cannot be read')
  end
  if fingerprint ~= command[FINGERPRINT] then
    return 'K'
  end
  if outcome == 'A' then
    return accepted_before(command, rest)
  end
  return (record == command[RECORD] and 'R|0|' or 'R|1|') .. rest
end

-- What an earlier run, or an earlier attempt of the same key, was told. What is found in an older
-- generation is written again into the newest.
local function known(command)
  local owner = command[KEY] ~= '' and get(keys, command[KEY])
  if owner then
    return known_by_key(command, owner)
  end
  local name = command[NAME]
  local entry = get(newest, name)
  if not entry and previous then
    entry = get(previous, name)
    if entry then
      put(newest, name, entry)
    end
  end
  return entry and known_by_generation(command, entry)
end

local function remember(command, outcome)
  put(newest, command[NAME],
    command[FINGERPRINT] .. '|' .. command[RECORD] .. '|' .. outcome)
end

local function refuse(command, refusal, rests_on)
  local outcome = (rests_on or '') .. '|' .. refusal
  remember(command, 'R|' .. outcome)
  return 'R|0|' .. outcome
end

local function waits_for(sku, record)
  return 'I|' .. sku .. '|' .. record
end

-- The verdict where terms are others than those that the command was decided on.
local function changed_terms(terms)
  local changed = {}
  for i = 1, #terms, 2 do
    local sku, version = terms[i], terms[i + 1]
    local value = value_of(sku)
    if not value then
      local record = awaited(sku)
      if record then
        return waits_for(sku, record)
      end
    end
    if version ~= (value and value.version or 0) then
      changed[#changed + 1] = sku .. '|' .. (value and packed(value) or '')
    end
  end
  if #changed > 0 then
    return 'T\n' .. table.concat(changed, '\n')
  end
end

-- Like the checks below: a verdict, or a refusal with the record that it rests on, or nothing.
local function forbidding_status(terms)
  for i = 1, #terms, 2 do
    local sku = terms[i]
    local value = value_of(sku)
    if not value then
      return nil, '{"code":"unknown-sku","sku":"' .. sku .. '"}'
    end
    if value.status ~= 'A' then
      return nil, '{"code":"discontinued","sku":"' .. sku .. '"}', get(latest, 'inventory:' .. sku)
    end
  end
end

local function missing_value(sku)
  local record = awaited(sku)
  if record then
    return waits_for(sku, record)
  end
  return nil, '{"code":"unknown-sku","sku":"' .. sku .. '"}'
end

local function short_stock(command, order, sums)
  local own = command[ITEM]
  local item = own ~= '' and value_of(own)
  if own ~= '' and not item then
    return missing_value(own)
  end
  local expected = command[AVAILABLE]
  if expected ~= -1 and item.available ~= expected then
    return nil, string.format('{"code":"stock-changed","sku":"%s","available":%d}', own,
      item.available)
  end
  for _, sku in ipairs(order) do
    local value = value_of(sku)
    if not value then
      return missing_value(sku)
    end
    if value.available < sums[sku] and CHECKS_STOCK then
      return nil, string.format(
        '{"code":"out-of-stock","sku":"%s","requested":%d,"available":%d}', sku, sums[sku],
        value.available)
    end
  end
  local supplied = item and item.supplied + command[SUPPLY]
  if supplied and (supplied < 0 or supplied > SUPPLIED_MAX) then
    return nil, string.format('{"code":"stock-limit","sku":"%s","supplied":%d}', own,
      item.supplied)
  end
end

local function taken_claim(wanted)
  for i = 1, #wanted, 2 do
    local owner = get(claims, wanted[i])
    if owner and owner ~= wanted[i + 1] then
      return '{"code":"email-taken"}', get(latest, 'users:' .. owner)
    end
  end
end

-- All writes of an accepted command: what lowers availability, and nothing that raises it.
local function accept(command, version, snapshot, order, sums)
  local record, aggregate = command[RECORD], command[AGGREGATE]
  for _, sku in ipairs(order) do
    local value = value_of(sku)
    value.available = value.available - sums[sku]
    put_value(sku, value)
  end
  if command[ITEM] ~= '' then
    local value, discontinued = value_of(command[ITEM]), command[DISCONTINUED]
    value.supplied = value.supplied + command[SUPPLY]
    if discontinued[1] and discontinued[1] > value.version then
      value.version, value.status, value.terms = discontinued[1], 'D', discontinued[2]
    end
    put_value(command[ITEM], value)
  end
  for i = 1, #command[CLAIMS], 2 do
    put(claims, command[CLAIMS][i], command[CLAIMS][i + 1])
  end
  local payload, predecessor = command[PAYLOAD], get(latest, aggregate) or ''
  local written = digits(version)
  if command[EXPECTED] == -1 then
    payload = string.sub(payload, 1, VERSION_FIRST - 1) .. string.format('%020d', version)
      .. string.sub(payload, VERSION_LAST + 1)
  end
  put(aggregates, aggregate, written .. '|' .. snapshot)
  put(latest, aggregate, record)
  put(pending, record,
    command[PARTITION] .. '|' .. written .. '|' .. predecessor .. '|' .. payload)
  if command[KEY] ~= '' then
    local id = string.match(aggregate, '^[^:]*:(.*)$')
    put(keys, command[KEY],
      command[FINGERPRINT] .. '|' .. record .. '|' .. written .. '|' .. id .. '|')
  else
    remember(command, 'A|' .. written)
  end
  return accepted(command, version, predecessor)
end

-- The checks, in the protocol's order.
local function decide(command)
  local answer = known(command)
  if answer then
    return answer
  end
  if command[GENERATION] + 2 <= generation then
    return 'G'
  end
  if command[REFUSAL] ~= '' then
    local rests_on = command[RESTS_ON] ~= '' and get(latest, command[RESTS_ON])
    return changed_terms(command[TERMS]) or refuse(command, command[REFUSAL], rests_on)
  end

  local expected = command[EXPECTED]
  local version, snapshot = aggregate_of(command[AGGREGATE])
  if expected == -1 and not version then
    return refuse(command, '{"code":"not-found"}')
  end
  if expected ~= -1 and expected ~= (version or 0) then
    return 'V'
  end
  if expected ~= -1 then
    snapshot = command[SNAPSHOT]
  end

  local refusal, rests_on = taken_claim(command[CLAIMS])
  if refusal then
    return refuse(command, refusal, rests_on)
  end
  answer = changed_terms(command[TERMS])
  if answer then
    return answer
  end
  answer, refusal, rests_on = forbidding_status(command[TERMS])
  local order, sums = summed(command[TAKES])
  if not refusal then
    answer, refusal = short_stock(command, order, sums)
  end
  if answer then
    return answer
  end
  if refusal then
    return refuse(command, refusal, rests_on)
  end
  return accept(command, (version or 0) + 1, snapshot, order, sums)
end

prefetch_all()
local verdicts = { '' }
for i, command in ipairs(commands) do
  verdicts[i + 1] = decide(command)
end

flush_values()
for _, hash in ipairs({ aggregates, latest, pending, claims, keys, newest }) do
  flush(hash)
end
-- The next generation begins once this one is full; the one before this one is then two behind,
-- and no command that could miss it is decided any more.
if redis.call('HLEN', newest.key) >= ENTRIES_PER_GENERATION then
  if previous then
    redis.call('UNLINK', previous.key)
  end
  generation = generation + 1
  redis.call('HSET', meta.key, 'generation', digits(generation))
end
verdicts[1] = digits(generation)
return verdicts
