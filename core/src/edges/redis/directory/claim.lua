-- Enters a claim. The answer: how many displaced claims were forgotten, and all that stands then.
-- KEYS[1]: the user. ARGV: the claim's id; the end of its value; its epoch, empty if it rises; by how much; how many claims
-- may stand for the device; how many milliseconds the user is kept; the most claims; the most displaced; the end of numbers.
-- What this version cannot read is left alone.
local user, id, device = KEYS[1], ARGV[1], ARGV[2]
local most_of_device, most_claims, most_displaced = tonumber(ARGV[5]), tonumber(ARGV[7]), tonumber(ARGV[8])
local own, former = 'c' .. id, 'd' .. id

-- The epoch and the device of a value, if it can be read.
local function read(value)
  local epoch, tail = string.match(value, '^1 (%d+) [or](.*)$')
  if epoch and (tail == '' or string.byte(tail) == 32) then return tonumber(epoch), tail end
end

-- Where the fields of claims are, of those of the device, and of displaced ones.
local claims, same, displaced = {}, {}, {}
local highest, before, is_displaced = 0, nil, false
local fields = redis.call('HGETALL', user)
for at = 1, #fields, 2 do
  local field, value = fields[at], fields[at + 1]
  local letter = string.sub(field, 1, 1)
  if field == 'e' then highest = tonumber(value) end
  if field == own then before = value end
  if field == former then is_displaced = true end
  if (letter == 'c' or letter == 'd') and field ~= own then
    local epoch, tail = read(value)
    if epoch then
      local some = letter == 'c' and claims or displaced
      some[#some + 1] = at
      if letter == 'c' and tail == device then same[#same + 1] = at end
    end
  end
end

if not highest then return redis.error_reply('ERR the epoch of the user cannot be read') end
local epoch = tonumber(ARGV[3]) or highest + tonumber(ARGV[4])
if epoch >= tonumber(ARGV[9]) then return redis.error_reply("ERR the user's epochs are used up") end
local known = string.format('%.0f', math.max(highest, epoch))
local epoch_before = before and read(before)
if is_displaced or (before and not epoch_before) then
  redis.call('HSET', user, 'e', known)
else
  epoch = math.max(epoch, epoch_before or 0)
  local value = string.format('1 %.0f o', epoch) .. device
  redis.call('HSET', user, 'e', known, own, value)
  local at = #fields + 1
  fields[at], fields[at + 1] = own, value
  claims[#claims + 1], same[#same + 1] = at, at
end

local function is_above(one, other)
  if one.epoch ~= other.epoch then return one.epoch > other.epoch end
  if one.registry ~= other.registry then return one.registry > other.registry end
  if one.revision ~= other.revision then return one.revision > other.revision end
  return one.link > other.link
end

-- Does something with each of these that is not among the highest.
local function beyond(some, most, act)
  if #some <= most then return end
  local order = {}
  for _, at in ipairs(some) do
    local registry, revision, link = string.match(fields[at], '^[cd](%x+)%-(%d+)%-(%d+)$')
    if registry then
      local epoch = read(fields[at + 1])
      order[#order + 1] = {
        at = at, epoch = epoch, registry = registry, revision = tonumber(revision), link = tonumber(link),
      }
    end
  end
  table.sort(order, is_above)
  for place = most + 1, #order do act(order[place].at) end
end

local function displace(at)
  redis.call('HDEL', user, fields[at])
  fields[at] = 'd' .. string.sub(fields[at], 2)
  redis.call('HSETNX', user, fields[at], fields[at + 1])
  displaced[#displaced + 1] = at
end

beyond(same, most_of_device, displace)
if #claims > most_claims then
  local standing = {}
  for _, at in ipairs(claims) do
    if string.sub(fields[at], 1, 1) == 'c' then standing[#standing + 1] = at end
  end
  beyond(standing, most_claims, displace)
end
local forgotten = 0
beyond(displaced, most_displaced, function(at)
  redis.call('HDEL', user, fields[at])
  forgotten = forgotten + 1
end)
redis.call('PEXPIRE', user, ARGV[6])
return {forgotten, redis.call('HGETALL', user)}
