-- Enters a claim. The answer: how many displaced claims were forgotten, and all that stands then.
-- KEYS[1]: the user. ARGV: the claim's id; the end of its value; its epoch, empty if it rises; by how much; how many claims
-- may stand for the device; how many milliseconds the user is kept; the most claims; the most displaced; the end of numbers.
-- What this version cannot read is left alone.
local user, id, device = KEYS[1], ARGV[1], ARGV[2]
local given, raise, of_device = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local keep, most_claims, most_displaced = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local end_of_numbers = tonumber(ARGV[9])

local function text(number) return string.format('%.0f', number) end

local function read(field, value)
  local registry, revision, link = string.match(field, '^.(%x+)%-(%d+)%-(%d+)$')
  local epoch, tail = string.match(value, '^1 (%d+) [or](.*)$')
  if not registry or not epoch then return nil end
  if tail ~= '' and string.sub(tail, 1, 1) ~= ' ' then return nil end
  return {
    id = string.sub(field, 2), value = value, device = tail, epoch = tonumber(epoch),
    registry = registry, revision = tonumber(revision), link = tonumber(link),
  }
end

local function is_above(one, other)
  if one.epoch ~= other.epoch then return one.epoch > other.epoch end
  if one.registry ~= other.registry then return one.registry > other.registry end
  if one.revision ~= other.revision then return one.revision > other.revision end
  return one.link > other.link
end

local claims, displaced, values = {}, {}, {}
local fields = redis.call('HGETALL', user)
for i = 1, #fields, 2 do
  local field, value = fields[i], fields[i + 1]
  local letter = string.sub(field, 1, 1)
  values[field] = value
  if letter == 'c' and string.sub(field, 2) ~= id then table.insert(claims, read(field, value)) end
  if letter == 'd' then table.insert(displaced, read(field, value)) end
end

local highest = tonumber(values['e'] or '0')
if not highest then return redis.error_reply('ERR the epoch of the user cannot be read') end
local epoch = given or highest + raise
if epoch >= end_of_numbers then return redis.error_reply("ERR the user's epochs are used up") end
redis.call('HSET', user, 'e', text(math.max(highest, epoch)))

local field = 'c' .. id
local before = values[field] and read(field, values[field])
if not values['d' .. id] and (before or not values[field]) then
  if before then epoch = math.max(epoch, before.epoch) end
  local value = '1 ' .. text(epoch) .. ' o' .. device
  redis.call('HSET', user, field, value)
  table.insert(claims, read(field, value))
end

-- Moves the least of these claims to the displaced ones.
local function displace(some, most)
  table.sort(some, is_above)
  for i = most + 1, #some do
    local claim = some[i]
    redis.call('HDEL', user, 'c' .. claim.id)
    redis.call('HSETNX', user, 'd' .. claim.id, claim.value)
    claim.is_displaced = true
    table.insert(displaced, claim)
  end
end

local function standing(device)
  local some = {}
  for _, claim in ipairs(claims) do
    if not claim.is_displaced and (not device or claim.device == device) then table.insert(some, claim) end
  end
  return some
end

displace(standing(device), of_device)
displace(standing(), most_claims)
table.sort(displaced, is_above)
for i = most_displaced + 1, #displaced do redis.call('HDEL', user, 'd' .. displaced[i].id) end
redis.call('PEXPIRE', user, keep)
return {math.max(0, #displaced - most_displaced), redis.call('HGETALL', user)}
