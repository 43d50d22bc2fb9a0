-- Takes entries out. KEYS[1]: the user. ARGV: their fields. What this version cannot read is left alone.
for _, field in ipairs(ARGV) do
  local value = redis.call('HGET', KEYS[1], field)
  if value and string.sub(value, 1, 2) == '1 ' then redis.call('HDEL', KEYS[1], field) end
end
return 0
