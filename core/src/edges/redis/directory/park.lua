-- The link of a claim is gone, and may come back. KEYS[1]: the user. ARGV: the claim's field.
local value = redis.call('HGET', KEYS[1], ARGV[1])
local epoch, tail = string.match(value or '', '^1 (%d+) o(.*)$')
if epoch then redis.call('HSET', KEYS[1], ARGV[1], '1 ' .. epoch .. ' r' .. tail) end
return 0
