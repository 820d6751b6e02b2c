-- The state of a key of throttle, and what is done to it in one round trip. What is rare is left to the client: it gets the
-- state ("H"), computes with package pacer, and puts what came of it with "commit", unless somebody was there in between.
--
-- Times are ns since 1970 by the clock of the server, as two numbers: at = h * 2^32 + l, each of them exact in a double.
-- KEYS: state (the only one where only the short way is asked for), queue, grants not collected, heartbeats of owners, runs of sliding windows. The head of each of them
-- is described in store.go.
local KS = KEYS[1]
local op = ARGV[1]
local call, pack, unpack, sub = redis.call, struct.pack, struct.unpack, string.sub

-- The short way, for most grants: one unit of the only limit, a bucket, that is due, where nobody waits and nothing was said. What it
-- needs is in a field of its own, which store() writes: instants as s and ns, and how many grants it has made since. A field of another
-- form, some day, is to have another name. What follows after the short way does the same for all cases; it takes three times as long.
if op == 'one' then
  local short = call('HGET', KS, 'f')
  if short and short ~= '' then
    local s, n
    if ARGV[2] == '' then
      local t = call('TIME')
      s, n = tonumber(t[1]), t[2] * 1000
    else
      local at, after = string.match(ARGV[2], '^%d+:%d+:(%d+):(%d+)$')
      s, n = tonumber(at), tonumber(after)
    end
    local ts, tn, seens, seenn, num, made, qs, qn, bs, bn, last, kept, r, events, bnum, after = unpack('<I4I4I4I4ddI4I4I4I4I4I4ddd', short)
    local id, names = sub(short, after), ARGV[4]
    if (names == '' or names == id) and tonumber(ARGV[3]) <= kept and (s > seens or s == seens and n >= seenn) then
      if ts < s or ts == s and tn < n then ts, tn, num = s, n, 0 end
      ts, tn, num = ts + qs, tn + qn, num + r
      if num >= events then tn, num = tn + 1, num - events end
      if tn >= 1000000000 then ts, tn = ts + 1, tn - 1000000000 end
      local dues, duen = ts - bs, tn - bn -- rounded up it is the slot
      if num > bnum then duen = duen + 1 end
      if duen < 0 then
        dues, duen = dues - 1, duen + 1000000000
      elseif duen >= 1000000000 then
        dues, duen = dues + 1, duen - 1000000000
      end
      if (dues < s or dues == s and duen <= n) and ts <= last then
        call('HSET', KS, 'f', pack('<I4I4I4I4dd', ts, tn, s, n, num, made + 1) .. sub(short, 33))
        return {'g', s, n, id}
      end
    end
  end
  if not KEYS[2] then return {'?'} end -- it is asked again, with all keys
  op = 'ask'
end

local KQ, KG, KH, KR = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local keep = tonumber(ARGV[3]) -- s
local owner, timeout = string.match(ARGV[5], '^(%x+):(%d+)$') -- a number, us
timeout = tonumber(timeout)
local W, BIG = 4294967296, 4503599627370496 -- 2^32, 2^52
local floor, fmod = math.floor, math.fmod

local function add(h, l, x) -- |x| < 2^53
  l = l + x % W
  h = h + floor(x / W)
  if l >= W then return h + 1, l - W end
  return h, l
end
local function plus(h, l, h2, l2)
  l = l + l2
  if l >= W then return h + h2 + 1, l - W end
  return h + h2, l
end
local function minus(h, l, h2, l2)
  l = l - l2
  if l < 0 then return h - h2 - 1, l + W end
  return h - h2, l
end
local function less(h, l, h2, l2) return h < h2 or h == h2 and l < l2 end
local function later(h, l, h2, l2)
  if less(h, l, h2, l2) then return h2, l2 end
  return h, l
end
local function ns(s, n) -- s * 10^9 + n
  local high = floor(s / 65536) * 1000000000
  local h, l = floor(high / 65536), high % 65536 * 65536
  h, l = add(h, l, s % 65536 * 1000000000)
  return add(h, l, n)
end
local function seconds(h, l) -- the other way round: 2^32 is 4 * 10^9 + 294967296, and 2^16 of the latter are 19330 * 10^9 + 976710656
  local hh, hl = floor(h / 65536), h % 65536
  local rest = hh * 976710656 + hl * 294967296 + l
  return 4 * h + 19330 * hh + floor(rest / 1000000000), rest % 1000000000
end
local function micros(h, l) return floor((h * W + l) / 1000) end -- rounded: for what need not be exact

-- What is in the state: numbers, the schedule as pacer writes it, what its limits are, and their names.
local f = call('HMGET', KS, 'm', 'b', 'l', 'i', 'f', 'w')
local exists = f[1] and f[2] and f[3] and f[4] and true
local blob, id = f[2] or '', f[4] or ''
local form, version, nexts, grants, turnh, turnl, seenh, seenl, offh, offl, expires, amnesty, waiting, extra =
  1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
if exists then
  form, version, nexts, grants, turnh, turnl, seenh, seenl, offh, offl, expires, amnesty, waiting, extra =
    unpack('<dddddddddddddd', f[1])
  if form ~= 1 then return {'N'} end
end
local merged = false
if exists and f[5] and f[5] ~= '' then -- grants that were made in the short way
  local ts, tn, s, n, num, made = unpack('<I4I4I4I4dd', f[5])
  if made > 0 then
    local l, h = unpack('<I4i4', blob, 17)
    local bucket = unpack('<d', f[3], 73)
    turnh, turnl = ns(s, n)
    seenh, seenl, version, grants, merged = turnh, turnl, version + made, grants + made, true
    h, l = ns(ts, tn)
    blob = string.char(bit.bor(string.byte(blob, 1), 4)) .. sub(blob, 2, 16) .. pack('<I4i4', turnl, turnh)
      .. sub(blob, 25, bucket - 1) .. pack('<I4i4I4I4', l, h, num % W, floor(num / W)) .. sub(blob, bucket + 16)
  end
end

-- The clock goes on where it was if that of the server was set back.
local nowh, nowl
if ARGV[2] ~= '' then
  local h, l = string.match(ARGV[2], '^(%d+):(%d+):')
  nowh, nowl = tonumber(h), tonumber(l)
else
  local t = call('TIME')
  nowh, nowl = ns(tonumber(t[1]), t[2] * 1000)
end
local wallh, walll = nowh, nowl
nowh, nowl = plus(nowh, nowl, offh, offl)
local dirty, changed, running = false, false, false
local moved = false -- whether what a client computes with is another one: only that makes a new version, or those who look would be in its way
if less(nowh, nowl, seenh, seenl) then
  offh, offl = minus(seenh, seenl, wallh, walll)
  nowh, nowl = seenh, seenl
  dirty, moved = true, true
end
local us = micros(nowh, nowl)

-- A client to which others were there first, again and again, may have the key held for a moment: until when, and for whom. It writes
-- what it computes meanwhile, and the others ask again.
local held = false
if exists and f[6] then
  local till, who = string.match(f[6], '^(%d+):(%x+)$')
  if till and tonumber(till) > us then held = who end
end
if held and op ~= 'read' and op ~= 'beat' and not (held == owner and (op == 'commit' or op == 'hold')) then
  if op == 'commit' then return {'V'} end
  return {'B'}
end

-- The limits: meters.
local meters, count, paused, most, coolh, cooll, steph, stepl = {}, 0, false, 0, 0, 0, 0, 0
local sinceh, sincel, hard = 0, 0, 0
local function load()
  local flags, next
  count, flags, most, coolh, cooll, steph, stepl, hard, next = unpack('<dddddddd', f[3])
  paused = flags == 1
  sincel, sinceh = unpack('<I4i4', blob, 9)
  for i = 1, count do
    local m = {}
    m.kind, m.at, m.events, m.room, m.q, m.r, m.burst, m.bh, m.bl, m.bn, m.per, m.grain, next = unpack('<dddddddddddd', f[3], next)
    if m.kind == 1 then
      m.l, m.h, m.n, m.n2 = unpack('<I4i4I4i4', blob, m.at)
      m.n = m.n + m.n2 * W
    elseif m.kind == 2 then
      local fl, fh, el, eh, tl, th, nl, nh
      fl, fh, el, eh, tl, th, m.l, m.h, nl, nh, m.beginl, m.beginh = unpack('<I4I4I4I4I4I4I4i4I4I4I4i4', blob, m.at)
      m.first, m.last, m.total, m.newest = fl + fh * W, el + eh * W, tl + th * W, nl + nh * W
      if m.total >= BIG then m.kind = 9 end
    elseif m.kind == 3 or m.kind == 4 then
      local cl, ch
      m.startl, m.starth, m.l, m.h, cl, ch = unpack('<I4i4I4i4I4I4', blob, m.at)
      m.count = cl + ch * W
    end
    meters[i] = m
  end
end
if exists then load() end

-- n * Per/Events as whole ns and a rest over Events; nothing if it is too much for a double.
local function times(m, n)
  if n == 1 then return m.q, m.r end
  local q, r = n * m.q, n * m.r
  if q >= BIG or r >= BIG then return end
  local rest = fmod(r, m.events)
  return q + (r - rest) / m.events, rest
end

local function run(i, m, at)
  if at == m.last - 1 then return m.h, m.l, m.newest end
  local r = call('HGET', KR, i .. ':' .. string.format('%.0f', at))
  if not r then return end
  local l, h, nl, nh = unpack('<I4i4I4I4', r)
  return h, l, nl + nh * W
end

-- Each of these returns the slot of n units asked for at a time, by one limit, and whether that is exact: otherwise it is
-- no later than the slot.
local function bucket(m, th, tl, n)
  local h, l, num = m.h, m.l, m.n
  if less(h, l, th, tl) then h, l, num = th, tl, 0 end
  local q, r = times(m, n)
  if not q then return th, tl, false end
  h, l = add(h, l, q)
  num = num + r - m.bn
  h, l = minus(h, l, m.bh, m.bl)
  if num < 0 then
    num = num + m.events
    h, l = add(h, l, -1)
  elseif num >= m.events then
    num = num - m.events
    h, l = add(h, l, 1)
  end
  if num > 0 then h, l = add(h, l, 1) end
  h, l = later(h, l, th, tl)
  return h, l, h < 1610612736 -- near the end of time pacer knows better
end

local function sliding(i, m, th, tl, n)
  if n > m.room then
    local whole = floor((n - 1) / m.room)
    local h, l = sliding(i, m, th, tl, n - whole * m.room)
    local d = whole * m.per
    if d < BIG then h, l = add(h, l, d) end
    return h, l, false
  end
  if m.last > m.first then th, tl = later(th, tl, m.h, m.l) end
  if m.total <= m.room - n then return th, tl, true end
  local over = m.total - (m.room - n)
  for at = m.first, m.last - 1 do
    local h, l, units = run(i, m, at)
    if not h then return th, tl, false end
    over = over - units
    if over <= 0 or at - m.first >= 256 then
      h, l = add(h, l, m.per)
      h, l = later(h, l, th, tl)
      return h, l, over <= 0
    end
  end
  return th, tl, false
end

-- It returns the window as well: start, end and count, once the units are granted.
local function fixed(m, th, tl, n)
  local h, l = later(th, tl, m.starth, m.startl)
  local sh, sl, eh, el, c = m.starth, m.startl, m.h, m.l, m.count
  if not less(h, l, eh, el) then
    if m.kind == 4 then return h, l, false end
    sh, sl, c = h, l, 0
    eh, el = add(h, l, m.per)
  end
  local rest = m.room - c
  if n <= rest then return h, l, true, sh, sl, eh, el, c + n end
  local exact = n <= m.room
  if not exact then n = n - math.max(rest, 0) end
  if m.kind == 4 then return eh, el, false end
  local skip = floor((n - 1) / m.room)
  if skip * m.per >= BIG then return eh, el, false end
  eh, el = add(eh, el, skip * m.per)
  local e2h, e2l = add(eh, el, m.per)
  return eh, el, exact, eh, el, e2h, e2l, n
end

local function slotof(i, m, th, tl, n)
  if m.kind == 1 then return bucket(m, th, tl, n) end
  if m.kind == 2 then return sliding(i, m, th, tl, n) end
  if m.kind == 5 then return th, tl, true end
  if m.kind == 9 then return th, tl, false end
  return fixed(m, th, tl, n)
end

-- The slot by all limits; nothing if there is none.
local function slot(th, tl, n)
  if paused or count == 0 then return end
  th, tl = later(th, tl, sinceh, sincel)
  th, tl = later(th, tl, coolh, cooll)
  local ah, al, exact = th, tl, coolh == 0 -- by the end of a cooldown there is less in a bucket
  for i = 1, count do
    local m = meters[i]
    if m.kind == 0 then return end
    local h, l, ok = slotof(i, m, th, tl, n)
    ah, al = later(ah, al, h, l)
    exact = exact and ok
  end
  if steph > 0 and not less(ah, al, steph, stepl) then return steph, stepl, false end
  return ah, al, exact
end

-- Whether a grant of n units is left to the client, which would have them come later than they are due by one of several limits.
local function apart(n)
  if count == 1 then return false end
  for i = 1, count do
    if meters[i].kind == 1 and n > meters[i].burst then return true end
  end
  return false
end

local function push(i, m, h, l, n)
  while m.first < m.last do
    local oh, ol, units = run(i, m, m.first)
    oh, ol = add(oh, ol, m.per)
    if less(h, l, oh, ol) then break end
    call('HDEL', KR, i .. ':' .. string.format('%.0f', m.first))
    m.total, m.first = m.total - units, m.first + 1
  end
  m.total = m.total + n
  local at, units = m.last, n
  if m.first < m.last then
    local dh, dl = minus(h, l, m.beginh, m.beginl)
    if m.h == h and m.l == l or m.grain > 0 and dh * W + dl < m.grain or m.last - m.first >= 32768 then -- pacer.RunsMost
      at, units = m.last - 1, m.newest + n
    end
  end
  if at == m.last then m.beginh, m.beginl, m.last = h, l, m.last + 1 end
  m.h, m.l, m.newest = h, l, units
  call('HSET', KR, i .. ':' .. string.format('%.0f', at), pack('<I4i4I4I4', l, h, units % W, floor(units / W)))
  running = true
end

-- Makes a grant of n units, asked for at t, at an exact slot.
local function take(th, tl, n, ah, al)
  th, tl = later(th, tl, sinceh, sincel)
  th, tl = later(th, tl, coolh, cooll)
  for i = 1, count do
    local m = meters[i]
    if m.kind == 1 then
      local oh, ol = bucket(m, th, tl, n)
      local q, r = times(m, n)
      if less(m.h, m.l, th, tl) then m.h, m.l, m.n = th, tl, 0 end
      if less(oh, ol, ah, al) then -- another one has it come later: the bucket may have run over
        local h, l = add(ah, al, q)
        local mh, ml = add(m.h, m.l, q)
        local num = m.n + r
        if num >= m.events then
          num = num - m.events
          mh, ml = add(mh, ml, 1)
        end
        if less(mh, ml, h, l) or mh == h and ml == l and num < r then mh, ml, num = h, l, r end
        m.h, m.l, m.n = mh, ml, num
      else
        m.n = m.n + r
        m.h, m.l = add(m.h, m.l, q)
        if m.n >= m.events then
          m.n = m.n - m.events
          m.h, m.l = add(m.h, m.l, 1)
        end
      end
    elseif m.kind == 2 then
      push(i, m, ah, al, n)
    elseif m.kind == 3 or m.kind == 4 then
      local h, l, _, sh, sl, eh, el, c = fixed(m, th, tl, n)
      if h ~= ah or l ~= al then _, _, _, sh, sl, eh, el, c = fixed(m, ah, al, n) end
      m.starth, m.startl, m.h, m.l, m.count = sh, sl, eh, el, c
    end
  end
  blob = string.char(bit.bor(string.byte(blob, 1), 4)) .. sub(blob, 2, 16) .. pack('<I4i4', al, ah) .. sub(blob, 25)
  grants = grants + 1
  changed, dirty, moved = true, true, true
end

-- Whether each limit can say exactly what becomes of a grant at an instant: a calendar may have to be asked, or runs be missing.
local function known(th, tl, n, ah, al)
  for i = 1, count do
    local m = meters[i]
    if m.kind == 2 and m.first < m.last and not run(i, m, m.first) then return false end
    if m.kind == 4 or m.kind == 3 then
      local h, l, ok = fixed(m, th, tl, n)
      local _
      if h ~= ah or l ~= al then _, _, ok = fixed(m, ah, al, n) end
      if not ok then return false end
    end
  end
  return true
end

local function due(th, tl, n) -- when, and whether the script can make the grant
  local ah, al, exact = slot(th, tl, n)
  if not ah then return end
  if exact and not less(nowh, nowl, ah, al) then
    th, tl = later(th, tl, sinceh, sincel)
    th, tl = later(th, tl, coolh, cooll)
    exact = not apart(n) and known(th, tl, n, ah, al)
  end
  return ah, al, exact
end

-- One who waits is "ticket:cost:owner:number:process:h:l".
local function parse(member)
  local cost, who, h, l = string.match(member, '^%d+:(%d+):(%x+):%d+:%d+:(%d+):(%d+)$')
  return tonumber(cost), who, tonumber(h), tonumber(l)
end

local head, cost, headh, headl
local function front()
  head = nil
  if waiting == 0 then return end
  head = call('ZRANGE', KQ, 0, 0)[1]
  if not head then -- evicted: those who wait ask again
    waiting, extra, dirty, moved = 0, 0, true, true
    return
  end
  local _
  cost, _, headh, headl = parse(head)
  headh, headl = later(headh, headl, turnh, turnl)
end

local function drop(member, n)
  call('ZREM', KQ, member)
  waiting, extra, dirty, moved = waiting - 1, extra - (n - 1), true, true
end

-- The head leaves. The next one comes to the front now, or when its slot came. It returns false, and does nothing, if it has to be
-- exact and can't.
local function behead(exactly)
  local first, n = head, cost
  local fh, fl = nowh, nowl
  if waiting > 1 then
    local second = parse(call('ZRANGE', KQ, 1, 1)[1])
    local h, l, exact = slot(headh, headl, n + second)
    if exactly and h and not exact then return false end
    if h and less(h, l, fh, fl) then fh, fl = h, l end
    turnh, turnl = later(turnh, turnl, fh, fl)
  end
  drop(first, n)
  front()
  return true
end

-- Those whose owners have not been heard of for long lose their places. When nobody at all came by for long, the server may have
-- been stopped, and the owners get the time again.
local function sweep()
  if waiting == 0 then return end
  local silent = us - micros(seenh, seenl)
  if silent > timeout / 2 then amnesty = us + timeout end
  if silent > timeout / 8 then dirty = true end -- somebody was seen, although one who is refused writes nothing else
  if us < amnesty then return end
  local dead = call('ZRANGEBYSCORE', KH, '-inf', string.format('%.0f', us - timeout))
  if #dead == 0 then return end
  local is = {}
  for _, o in ipairs(dead) do is[o] = true end
  for _, member in ipairs(call('ZRANGE', KQ, 0, -1)) do
    local n, who = parse(member)
    if is[who] then
      if member == head then behead(false) else drop(member, n) end
    end
  end
  for _, member in ipairs(call('HKEYS', KG)) do
    local _, who = parse(member)
    if is[who] then call('HDEL', KG, member) end
  end
  for _, o in ipairs(dead) do call('ZREM', KH, o) end
  dirty = true
end

local help = false
local function settle()
  if not exists then return end
  if coolh > 0 and not less(nowh, nowl, coolh, cooll) or steph > 0 and not less(nowh, nowl, steph, stepl) then
    help = true
    return
  end
  while head do
    local ah, al, exact = due(headh, headl, cost)
    if not ah or less(nowh, nowl, ah, al) then return end
    if not exact then
      help = true
      return
    end
    take(headh, headl, cost, ah, al)
    turnh, turnl = ah, al
    call('HSET', KG, head, string.format('%.0f:%.0f', ah, al))
    call('EXPIRE', KG, 86400)
    drop(head, cost)
    front()
  end
end

-- What the short way needs; nothing if it is closed.
local function short()
  local m = meters[1]
  if count ~= 1 or m.kind ~= 1 or waiting > 0 or paused or coolh ~= 0 or steph ~= 0 or held or offh ~= 0 or offl ~= 0 or id == '' then return '' end
  local ts, tn = seconds(m.h, m.l)
  local ss, sn = seconds(later(seenh, seenl, sinceh, sincel))
  local bs, bn = seconds(m.bh, m.bl)
  local qs, num = floor(m.q / 1000000000), m.n
  local last = math.min(floor(expires - keep + keep / 10 - 1), W - 1)
  if ts < 0 then ts, tn, num = 0, 0, 0 end -- it is long full
  if ss < 0 or ss >= W or ts >= W or bs < 0 or bs >= W or qs >= W or keep >= W or last < 0 then return '' end
  return pack('<I4I4I4I4ddI4I4I4I4I4I4ddd', ts, tn, ss, sn, num, 0, qs, m.q % 1000000000, bs, bn, last, keep, m.r, m.events, m.bn) .. id
end

local function store()
  if not dirty then return end
  if changed then
    local parts, from = {}, 1
    for i = 1, count do
      local m = meters[i]
      local b
      if m.kind == 1 then
        b = pack('<I4i4I4I4', m.l, m.h, m.n % W, floor(m.n / W))
      elseif m.kind == 2 then
        b = pack('<I4I4I4I4I4I4I4i4I4I4I4i4', m.first % W, floor(m.first / W), m.last % W, floor(m.last / W), m.total % W,
          floor(m.total / W), m.l, m.h, m.newest % W, floor(m.newest / W), m.beginl, m.beginh)
      elseif m.kind == 3 or m.kind == 4 then
        b = pack('<I4i4I4i4I4I4', m.startl, m.starth, m.l, m.h, m.count % W, floor(m.count / W))
      end
      if b then
        parts[#parts + 1] = sub(blob, from, m.at - 1)
        parts[#parts + 1] = b
        from = m.at + #b
      end
    end
    parts[#parts + 1] = sub(blob, from)
    blob = table.concat(parts)
  end
  local debt = 0 -- s, until nothing of what was granted matters
  for i = 1, count do
    local m = meters[i]
    if m.h then
      local d = ((m.h - nowh) * W + m.l - nowl) / 1e9
      if m.kind == 2 then d = d + m.per / 1e9 end
      if d > debt then debt = d end
    end
  end
  if coolh > 0 then debt = debt + math.max(0, ((coolh - nowh) * W + cooll - nowl) / 1e9) end
  local s = us / 1e6
  if hard - s > debt then debt = hard - s end -- what the client computes
  local want = s + debt + keep
  if paused then
    call('PERSIST', KS)
    call('PERSIST', KR)
  elseif want > expires + keep / 10 then
    expires = want
    call('EXPIRE', KS, string.format('%.0f', want - s + 1))
    call('EXPIRE', KR, string.format('%.0f', want - s + 1))
  elseif running and call('TTL', KR) < 0 then
    call('EXPIRE', KR, string.format('%.0f', expires - s + 1))
  end
  seenh, seenl = nowh, nowl
  -- A state that takes the place of one that was lost has none of its versions.
  if moved then version = math.max(version + 1, us) end
  local m = pack('<dddddddddddddd', 1, version, nexts, grants, turnh, turnl, seenh, seenl, offh, offl, expires, amnesty, waiting, extra)
  if changed or merged then call('HSET', KS, 'm', m, 'b', blob, 'f', short()) else call('HSET', KS, 'm', m, 'f', short()) end
end

local function state()
  return {'H', nowh, nowl, exists and version or 0, turnh, turnl, grants, offh, offl, blob, id, call('ZRANGE', KQ, 0, -1), call('HGETALL', KR), seenh, seenl}
end

local function beat()
  call('ZADD', KH, string.format('%.0f', us), owner)
  call('EXPIRE', KH, 86400)
  call('EXPIRE', KQ, 86400 + keep)
end

local function enqueue(n, number, pid, h, l)
  local member = string.format('%.0f:%.0f:%s:%s:%s:%.0f:%.0f', nexts, n, owner, number, pid, h, l)
  call('ZADD', KQ, string.format('%.0f', nexts), member)
  nexts, waiting, extra, dirty, moved = nexts + 1, waiting + 1, extra + n - 1, true, true
  beat()
  return member
end

-- Where one stands who waits.
local function stands(member, rank)
  local units, near = rank + 1, extra == 0 or rank < 64
  if extra > 0 and near then -- else it is no sooner than if each of them costs one unit
    units = 0
    for _, other in ipairs(call('ZRANGE', KQ, 0, rank)) do units = units + parse(other) end
  end
  local h, l, exact = slot(headh, headl, units)
  exact = exact and near
  return {'W', nowh, nowl, h or -1, l or 0, rank, member, id, exact and count == 1 and meters[1].kind == 1 and 1 or 0}
end

if op == 'commit' then
  local at = 5
  local function arg()
    at = at + 1
    return ARGV[at]
  end
  local function number() return tonumber(arg()) end
  if number() ~= (exists and version or 0) then return {'V'} end
  call('HSET', KS, 'i', '') -- a server that is out of memory refuses a script's first write only, and only if it takes memory
  if not exists then
    call('DEL', KS, KQ, KG, KH, KR)
  end
  turnh, turnl, grants = number(), number(), number()
  blob, f[3], id = arg(), arg(), arg()
  expires, dirty, moved = 0, true, true
  if arg() == '1' then
    call('DEL', KR)
    for _ = 1, number() do call('HSET', KR, arg(), arg()) end
  end
  meters, exists, changed = {}, true, false
  load()
  for _ = 1, number() do
    local member = arg()
    call('HSET', KG, member, arg())
    call('EXPIRE', KG, 86400)
    drop(member, (parse(member)))
  end
  for _ = 1, number() do
    local member = arg()
    drop(member, (parse(member)))
  end
  local member = ''
  if arg() == '1' then member = enqueue(number(), arg(), arg(), number(), number()) end
  call('HSET', KS, 'b', blob, 'l', f[3], 'i', id, 'w', '')
  held = false
  store()
  return {'K', member}
end

if op == 'beat' then
  if not exists then return {'X'} end
  if held then
    beat()
    return {'K', ''}
  end
  front()
  beat()
  sweep()
  settle()
  dirty = true
  store()
  return {'K', ''}
end

if op == 'look' or op == 'leave' then -- ARGV[7]: whether it is the last place of the owner, so that it need not be looked for
  local member = ARGV[6]
  if not exists then
    if op == 'look' then return state() end
    return {'X'}
  end
  front()
  if op == 'look' then
    beat()
    dirty = true -- it was seen
  end
  sweep()
  settle()
  local at = call('HGET', KG, member)
  if at then
    call('HDEL', KG, member)
    if ARGV[7] == '1' then call('ZREM', KH, owner) end
    store()
    local h, l = string.match(at, '^(%d+):(%d+)$')
    return {'G', nowh, nowl, tonumber(h), tonumber(l), id}
  end
  if op == 'leave' then
    if not help and call('ZSCORE', KQ, member) then
      if member ~= head then
        drop(member, (parse(member)))
      elseif not behead(true) then
        help = true
      end
      if not help then settle() end
    end
    if ARGV[7] == '1' and not help then call('ZREM', KH, owner) end
    store()
    if help then return state() end
    return {'X'}
  end
  store()
  if help then return state() end
  local rank = call('ZRANK', KQ, member)
  if not rank then return {'X'} end
  return stands(member, rank)
end

if op == 'read' then -- writes nothing
  return state()
end

if op == 'hold' then -- and read: ARGV[6] is for how long, us
  if exists then
    held, dirty = owner, true
    call('HSET', KS, 'w', string.format('%.0f:%s', us + tonumber(ARGV[6]), owner))
    store()
  end
  return state()
end

if op == 'ask' then
  local n, names = tonumber(ARGV[6]), ARGV[4]
  local number, pid, room, debt, ghost, within = string.match(ARGV[7], '^(%d+) (%d+) (%-?%d+) (%d) (%d*) (.*)$')
  room = tonumber(room)
  if not exists then return state() end
  front()
  sweep()
  settle()
  if ghost ~= '' then -- the answer to the one before was lost
    local mine = owner .. ':' .. ghost .. ':'
    for rank, member in ipairs(call('ZRANGE', KQ, 0, -1)) do
      if string.find(member, mine, 1, true) then
        store()
        return stands(member, rank - 1)
      end
    end
    for _, member in ipairs(call('HKEYS', KG)) do
      if string.find(member, mine, 1, true) then
        local h, l = string.match(call('HGET', KG, member), '^(%d+):(%d+)$')
        call('HDEL', KG, member)
        store()
        return {'G', nowh, nowl, tonumber(h), tonumber(l), id}
      end
    end
  end
  if help or id == '' or names ~= '' and names ~= id or n < 1 or n > most and debt == '0' then
    store()
    return state()
  end
  local h, l, exact
  if waiting == 0 then
    h, l, exact = due(nowh, nowl, n)
    if h and not less(nowh, nowl, h, l) then
      if not exact then
        store()
        return state()
      end
      take(nowh, nowl, n, nowh, nowl)
      turnh, turnl = nowh, nowl
      store()
      return {'G', nowh, nowl, nowh, nowl, id}
    end
  else
    h, l, exact = slot(headh, headl, waiting + extra + n)
    exact = exact and count == 1 and meters[1].kind == 1
  end
  if within ~= '' then
    local wh, wl = string.match(within, '^(-?%d+):(%d+)$')
    if not h then
      store()
      return {'L', -1, 0, paused and 1 or 0}
    end
    if not exact then
      store()
      return state()
    end
    local dh, dl = minus(h, l, nowh, nowl)
    if less(tonumber(wh), tonumber(wl), dh, dl) then
      store()
      return {'L', dh, dl, 0}
    end
  end
  if waiting >= room then
    store()
    return {'F'}
  end
  local member = enqueue(n, number, pid, nowh, nowl)
  if not head then front() end
  store()
  return {'W', nowh, nowl, h or -1, l or 0, waiting - 1, member, id, exact and count == 1 and meters[1].kind == 1 and 1 or 0}
end

return {'?'}
