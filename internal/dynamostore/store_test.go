package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func wait(t testing.TB, r *Reservation) {
	t.Helper()
	if err := r.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsForAGrant(t *testing.T) {
	for _, c := range []struct {
		limits         pacer.Limits
		writes, others int
	}{
		{every(time.Nanosecond), 100, 0},
		{pacer.Limits{pacer.Per(1e6, time.Second).With(pacer.TokenBucket), pacer.Per(1e6, time.Hour).With(pacer.SlidingWindow)}, 100, 0},
		{pacer.Limits{pacer.Per(1e6, 24*time.Hour).Aligned(pacer.AtDay, "Europe/Berlin")}, 100, 0},
		{every(300 * time.Millisecond), 100, 100}, // each waits: one for the place, and a look at the slot
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.takes = time.Millisecond
			s := m.open(t, "k", Options{Limits: c.limits})
			if err := s.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.calls, m.writes = 0, 0
			for range 100 {
				if err := s.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if m.writes != c.writes || m.calls-m.writes != c.others {
				t.Errorf("%v: 100 grants take %d writes and %d others", c.limits, m.writes, m.calls-m.writes)
			}
		})
	}
}

// Who has died gives its place back, and who lives does not, for however long.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		o := Options{Limits: every(time.Hour), Heartbeat: 10 * time.Second}
		a := m.open(t, "k", o)
		b, dies := m.openCable(t, "k", o)
		first := reserve(t, a)
		reserve(t, b)
		lives := reserve(t, a)
		dies.cut.Store(true)
		var wg sync.WaitGroup
		wg.Go(func() { wait(t, lives) })
		pass(10 * time.Second)
		if st, err := a.Status(t.Context()); err != nil || len(st.Waiting) != 2 {
			t.Errorf("after 10 s %d wait, %v", len(st.Waiting), err)
		}
		pass(3 * time.Second)
		if d := lives.Since1970() - first.Since1970(); d != time.Hour {
			t.Errorf("its slot is %v after the first", d)
		}
		wg.Wait()
		m.mu.Lock()
		n := len(m.items[keyPrefix+"k"])
		m.mu.Unlock()
		if n > 6 {
			t.Errorf("the item has %d attributes", n)
		}
		dies.cut.Store(false)
	})
}

// A cable is a connection that can be cut.
type cable struct {
	Client
	cut atomic.Bool
}

func (c *cable) Do(ctx context.Context, r Request) (Response, error) {
	if c.cut.Load() {
		return Response{}, &RequestError{Code: CodeNetwork, Message: "it is cut"}
	}
	return c.Client.Do(ctx, r)
}

// openCable opens a key through a cable.
func (m *memory) openCable(t *testing.T, key string, o Options) (*Store, *cable) {
	t.Helper()
	c := &cable{Client: m}
	s := m.open(t, key, o)
	s.client = c
	return s, c
}

// When nobody can reach the table for long, nobody is taken for dead.
func TestAllAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		o := Options{Limits: every(10 * time.Minute), Heartbeat: 10 * time.Second, Away: time.Hour}
		var cables []*cable
		var rs []*Reservation
		for range 4 {
			s, c := m.openCable(t, "k", o)
			cables, rs = append(cables, c), append(rs, reserve(t, s))
		}
		var wg sync.WaitGroup
		for _, r := range rs {
			wg.Go(func() { wait(t, r) })
		}
		pass(7 * time.Second)
		for _, c := range cables {
			c.cut.Store(true)
		}
		pass(time.Minute)
		for i, c := range cables { // they come back one after the other
			c.cut.Store(false)
			pass(time.Duration(i) * time.Second)
		}
		pass(20 * time.Second)
		for i, r := range rs {
			if d := r.Since1970() - rs[0].Since1970(); d != time.Duration(i)*10*time.Minute {
				t.Errorf("slot %d is %v after the first", i, d)
			}
		}
		wg.Wait()
	})
}

// What is carried out, and the answer lost, is not done twice.
func TestAnswersLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.tells = false
		r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeated
		lost := 0
		m.fault = func(q Request) error {
			if q.Op == OpUpdate && r.IntN(3) == 0 {
				lost++
				return &RequestError{Code: CodeNetwork, Message: "the answer is lost"}
			}
			return nil
		}
		limits := pacer.Limits{pacer.Every(time.Second).WithBurst(3)}
		s := m.open(t, "k", Options{Limits: limits, Away: time.Minute})
		var rs []*Reservation
		for range 40 {
			rs = append(rs, reserve(t, s))
		}
		for i, r := range rs {
			wait(t, r)
			if d := r.Since1970() - rs[0].Since1970(); d > time.Duration(max(i-2, 0))*time.Second+time.Millisecond && i < 3 {
				t.Errorf("slot %d is %v after the first", i, d)
			} else if i > 3 && r.Since1970()-rs[i-1].Since1970() != time.Second {
				t.Errorf("slot %d is %v after the one before: some place is there twice", i, r.Since1970()-rs[i-1].Since1970())
			}
		}
		st, err := s.Status(t.Context())
		if err != nil || st.Grants != 40 || lost == 0 {
			t.Errorf("%d grants for 40, %d answers lost, %v", st.Grants, lost, err)
		}
	})
}

// Where nobody waits for the answer any more, the place is given back.
func TestAnswerLostAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := m.open(t, "k", Options{Limits: every(time.Hour)})
		first := reserve(t, s)
		var heals atomic.Bool
		m.fault = func(Request) error {
			if heals.Load() {
				return nil
			}
			return &RequestError{Code: CodeNetwork, Message: "the answer is lost"}
		}
		if _, err := s.Reserve(t.Context(), 1); !IsAway(err) || !strings.Contains(err.Error(), "dynamodb://table") {
			t.Errorf("%v", err)
		}
		if st, _ := decode(m.items[keyPrefix+"k"][attrState].B); len(st.waiting) != 1 {
			t.Fatalf("%d wait", len(st.waiting))
		}
		pass(time.Second)
		heals.Store(true)
		pass(5 * time.Second)
		if d := reserve(t, s).Since1970() - first.Since1970(); d != time.Hour {
			t.Errorf("the next slot is after %v", d)
		}
	})
}

// Places that nobody waits for become grants all the same, and are known for as long as the store is open.
func TestUnattended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		o := Options{Limits: every(time.Second), Heartbeat: 10 * time.Second}
		a, b := m.open(t, "k", o), m.open(t, "k", o)
		rs := []*Reservation{reserve(t, a), reserve(t, a), reserve(t, a)}
		pass(time.Minute)
		for range 20 { // others come by, and forget
			if err := b.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i, r := range rs {
			wait(t, r)
			if d := r.Since1970() - rs[0].Since1970(); d != time.Duration(i)*time.Second {
				t.Errorf("slot %d is %v after the first", i, d)
			}
		}
		pass(time.Minute)
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if item := m.items[keyPrefix+"k"]; len(item) > 5 {
			t.Errorf("left are %d attributes", len(item))
		}
	})
}

// One who overslept its slot by more than a second has lost it, and waits again.
func TestOverslept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s, c := m.openCable(t, "k", Options{Limits: every(10 * time.Second), Away: time.Minute})
		first, r := reserve(t, s), reserve(t, s)
		pass(9 * time.Second)
		go func() {
			c.cut.Store(true) // as if it, or the server, was stopped
			pass(5 * time.Second)
			c.cut.Store(false)
		}()
		wait(t, r)
		if d := r.Since1970() - first.Since1970(); d < 20*time.Second {
			t.Errorf("granted %v after the first, which it found out late", d)
		}
	})
}

func TestItemLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		o := Options{Limits: every(10 * time.Second)}
		a, b := m.open(t, "k", o), m.open(t, "k", o)
		first, waits, last := reserve(t, a), reserve(t, b), reserve(t, a)
		if err := a.SetCooldown(t.Context(), 15*time.Second); err != nil {
			t.Fatal(err)
		}
		delete(m.items, keyPrefix+"k")
		var wg sync.WaitGroup
		for _, r := range []*Reservation{waits, last} {
			wg.Go(func() { wait(t, r) })
		}
		wg.Wait()
		slots := []time.Duration{first.Since1970(), waits.Since1970(), last.Since1970()}
		slices.Sort(slots)
		for i := range 2 {
			if d := slots[i+1] - slots[i]; d < 10*time.Second {
				t.Errorf("slots are %v apart", d)
			}
		}
	})
}

func TestForeignItems(t *testing.T) {
	newer := busyState(1).encode()
	newer[len(magic)-1]++
	for name, item := range map[string]map[string]Value{
		"another thing":   {attrKey: Chars("key:k"), "x": Chars("mine")},
		"bytes":           {attrKey: Chars("key:k"), attrVersion: Bytes([]byte("1")), attrState: Bytes([]byte("mine"))},
		"a newer version": {attrKey: Chars("key:k"), attrVersion: Bytes([]byte("1")), attrState: Bytes(newer)},
	} {
		m := newMemory()
		m.items["key:k"] = item
		s, err := Open(t.Context(), "dynamodb://table", "k", Options{Dial: m.dial, Limits: every(time.Hour)})
		if err == nil {
			err = s.Wait(t.Context())
		}
		if !errors.Is(err, ErrForeign) || m.writes != 0 {
			t.Errorf("%s: %v, %d writes", name, err, m.writes)
		}
	}
}

// Clients whose clocks are wrong by ten seconds, with a server that tells its time: the rate holds but for about a second.
func TestSkewedClocks(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprint("told ", told), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.takes = 5 * time.Millisecond
				if told {
					m.date = time.Now
				}
				var mu sync.Mutex
				var at []time.Time // when grants were made, as it was
				var slots []time.Duration
				var wg sync.WaitGroup
				start := time.Now()
				off := 10 * time.Second
				if !told {
					off = 4 * time.Second
				}
				for _, skew := range []time.Duration{0, off, -off} {
					s := m.open(t, "k", Options{Limits: every(100 * time.Millisecond), now: func() time.Time { return time.Now().Add(skew) }})
					wg.Go(func() {
						for time.Since(start) < 30*time.Second {
							r, err := s.Grant(t.Context(), 1)
							if err != nil {
								t.Error(err)
								return
							}
							mu.Lock()
							at, slots = append(at, time.Now()), append(slots, r.Since1970())
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				slices.Sort(slots)
				for i := 1; i < len(slots); i++ {
					if d := slots[i] - slots[i-1]; d < 100*time.Millisecond {
						t.Fatalf("two slots are %v apart", d)
					}
				}
				most := 310 // in 30 s and the last of each
				if told {
					most += 10 // a second
				} else {
					most += 80 // the time of the key has gone on by 8 s more
				}
				t.Logf("%d grants in 30 s", len(at))
				if len(at) > most {
					t.Errorf("%d grants in 30 s, of 300", len(at))
				}
				if told && len(at) < 250 {
					t.Errorf("%d grants in 30 s: somebody is blocked", len(at))
				}
			})
		})
	}
}

func TestClock(t *testing.T) {
	base := time.Unix(1_700_000_000, 0)
	for _, skew := range []time.Duration{0, 3 * time.Millisecond, -3 * time.Millisecond, 10 * time.Second, -10 * time.Second, 700 * time.Millisecond, -700 * time.Millisecond} {
		now := base.Add(1234 * time.Millisecond)
		c := newClock(func() time.Time { return now.Add(skew) })
		for i := range 40 {
			sent := c.now()
			now = now.Add(4 * time.Millisecond)
			date := now.Truncate(time.Second)
			now = now.Add(4 * time.Millisecond)
			c.hear(date, sent, c.now())
			ns, _ := c.read()
			off := time.Duration(ns - now.UnixNano())
			// Of an error of less than a second not all is seen at first.
			if off > max(min(skew, time.Second), 0) || off < min(max(skew, -time.Second), 0)-time.Second {
				t.Fatalf("skew %v, after %d answers: off by %v", skew, i+1, off)
			}
			if i > 30 && (off > 50*time.Millisecond || off < -50*time.Millisecond) {
				t.Errorf("skew %v, after %d answers: off by %v", skew, i+1, off)
			}
			now = now.Add(131 * time.Millisecond)
		}
	}
	// One that was synchronized is as it is.
	now := base
	c := newClock(func() time.Time { return now })
	for range 100 {
		sent := now
		now = now.Add(17 * time.Millisecond)
		c.hear(now.Truncate(time.Second), sent, now)
		if ns, _ := c.read(); ns != now.UnixNano() {
			t.Fatal("it was changed")
		}
	}
	c.hear(time.Time{}, now, now) // a server that tells nothing
	if least, most, ok := c.skew(); !ok || least > 0 || most < 0 {
		t.Errorf("%v, %v, %v", least, most, ok)
	}
}

// A state that a clock made which was far ahead blocks nobody for longer than the limit would.
func TestStateFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		ahead := m.open(t, "k", Options{Limits: every(10 * time.Second), now: func() time.Time { return time.Now().Add(time.Hour) }})
		reserve(t, ahead)
		var damage *DamageError
		s := m.open(t, "k", Options{Limits: every(10 * time.Second), Warn: func(err error) { errors.As(err, &damage) }})
		start := time.Now()
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 10*time.Second || d > 11*time.Second || damage == nil || !strings.Contains(damage.Error(), "ahead of the clock") {
			t.Errorf("granted after %v, warned of %v", d, damage)
		}
	})
}

func TestStateOutlastsTheDebt(t *testing.T) {
	for _, limit := range []pacer.Limit{
		pacer.Per(1, 200*24*time.Hour), pacer.Per(1, 50*24*time.Hour).With(pacer.SlidingWindow), pacer.Per(1, 50*24*time.Hour).With(pacer.FixedWindow),
		pacer.Per(5, 24*time.Hour).With(pacer.TokenBucket), pacer.Per(1, time.Hour).WithBurst(100), pacer.Per(1e15, 1e17), pacer.Unlimited(),
		{},
	} {
		m := newMemory()
		s := m.open(t, "k", Options{Limits: pacer.Limits{limit}, Keep: time.Hour})
		var last *Reservation
		for range 3 {
			last = reserve(t, s)
		}
		left := time.Until(time.Unix(*m.items["key:k"][attrExpires].N, 0))
		matters := limit.Per
		if limit.Algorithm == pacer.Paced {
			matters = limit.Interval() * time.Duration(max(limit.Burst, 1))
		}
		at := time.Until(time.Unix(0, int64(last.Since1970()))) + matters
		if left < time.Hour || limit.Events > 0 && left < at {
			t.Errorf("%v: it is gone after %v, and the last slot and one period is in %v", limit, left, at)
		}
		if err := s.SetPaused(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.items["key:k"][attrExpires]; ok {
			t.Error("a pause is forgotten")
		}
	}
}

func TestConflictAndUnit(t *testing.T) {
	m := newMemory()
	var warned []error
	a := m.open(t, "k", Options{Limits: every(time.Hour)})
	b := m.open(t, "k", Options{Limits: every(2 * time.Hour), Warn: func(err error) { warned = append(warned, err) }})
	reserve(t, a)
	r := reserve(t, b)
	var conflict *ConflictError
	if len(warned) != 1 || !errors.As(warned[0], &conflict) || !b.Limit().Equal(pacer.Every(2*time.Hour)) {
		t.Errorf("%v, %v", warned, b.Limits())
	}
	as := m.open(t, "k", Options{Limits: every(time.Minute), As: func(stored pacer.Limits) pacer.Limits { return stored }, Warn: func(err error) { t.Error(err) }})
	if _, err := as.ReserveWithin(t.Context(), 1, time.Second); !errors.As(err, new(*LateError)) {
		t.Errorf("limits as those stored: %v", err)
	}
	if _, err := m.open(t, "k", Options{Bytes: true, Limits: every(time.Hour)}).Reserve(t.Context(), 1); !errors.Is(err, ErrUnit) {
		t.Errorf("bytes: %v", err)
	}
	if _, err := m.open(t, "none", Options{}).Reserve(t.Context(), 1); !errors.Is(err, ErrNoLimit) {
		t.Errorf("no limit: %v", err)
	}
	if _, err := Open(t.Context(), "dynamodb://table", "none", Options{Dial: m.dial, MustExist: true}); !errors.Is(err, ErrNoState) {
		t.Errorf("no state: %v", err)
	}
	if _, err := m.open(t, "k", Options{Queue: 1}).Reserve(t.Context(), 1); !errors.Is(err, ErrFull) {
		t.Errorf("queue of 1: %v", err)
	}
	st, err := a.Status(t.Context())
	if err != nil || len(st.Waiting) != 1 || st.Grants != 1 || st.Waiting[0].PID != os.Getpid() || st.Waiting[0].Slot.IsZero() || st.Updated.IsZero() {
		t.Errorf("%+v, %v", st, err)
	}
	err = a.ChangeLimits(t.Context(), func(stored pacer.Limits) (pacer.Limits, error) {
		if !stored.Equal(every(2 * time.Hour)) {
			t.Errorf("stored is %v", stored)
		}
		return nil, os.ErrInvalid
	})
	if !errors.Is(err, os.ErrInvalid) {
		t.Error(err)
	}
	if err := a.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, r)
}

// The room in an item is all there is.
func TestQueueIsFull(t *testing.T) {
	m := newMemory()
	s := m.open(t, "k", Options{Limits: every(time.Hour)})
	reserve(t, s)
	err := s.update(t.Context(), func(t *tx) error {
		for i := range queueMost - 1 {
			t.waiting = append(t.waiting, entry{owner: owner{byte(i), byte(i >> 8)}, number: uint64(i), pid: 1 << 30, cost: 1, at: t.now + int64(i)*1e9})
		}
		t.write = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	reserve(t, s)
	if _, err := s.Reserve(t.Context(), 1); !errors.Is(err, ErrFull) {
		t.Errorf("%d wait: %v", queueMost, err)
	}
	if n := len(m.items["key:k"][attrState].B); n > 390<<10 {
		t.Errorf("the item has %d bytes", n)
	}
	// Each of those who wait has room to say that it lives.
	if n := len(m.items["key:k"][attrState].B) + beatSize*queueMost; n > stateMost {
		t.Errorf("the item can have %d bytes", n)
	}
	wide := m.open(t, "wide", Options{Limits: pacer.Limits{
		pacer.Per(15_000, 99*time.Hour).With(pacer.SlidingWindow), pacer.Per(16_000, 99*time.Hour).With(pacer.SlidingWindow),
	}})
	err = wide.SetLimits(t.Context(), wide.Limits())
	if err == nil {
		err = wide.update(t.Context(), func(t *tx) error {
			for i := range 15_000 {
				t.alg.Take(t.now+int64(i)*1e9+int64(i*i), 1)
			}
			for i := range queueMost - 1 {
				t.waiting = append(t.waiting, entry{owner: owner{byte(i), byte(i >> 8), 1}, number: uint64(i), pid: 1 << 30, cost: 1, at: t.now + int64(i)*1e9})
			}
			t.write, t.asked = true, true
			return nil
		})
	}
	if !errors.Is(err, ErrFull) && !errors.Is(err, errLarge) {
		t.Errorf("a long queue beside a large window: %v", err)
	}
	large := m.open(t, "large", Options{Limits: pacer.Limits{
		pacer.Per(15_000, time.Hour).With(pacer.SlidingWindow), pacer.Per(16_000, 2*time.Hour).With(pacer.SlidingWindow),
		pacer.Per(16_100, 3*time.Hour).With(pacer.SlidingWindow), pacer.Per(16_200, 4*time.Hour).With(pacer.SlidingWindow),
		pacer.Per(16_300, 5*time.Hour).With(pacer.SlidingWindow), pacer.Per(16_350, 6*time.Hour).With(pacer.SlidingWindow),
	}})
	err = large.SetLimits(t.Context(), large.Limits())
	for i := 0; err == nil && i < 20_000; i += 2500 {
		err = large.update(t.Context(), func(t *tx) error {
			for k := range 2500 {
				t.alg.Take(t.now+int64(i+k)*1e8, 1)
			}
			t.write = true
			return nil
		})
	}
	if !errors.Is(err, errLarge) {
		t.Errorf("runs that do not fit: %v", err)
	}
}

func TestClose(t *testing.T) {
	m := newMemory()
	a, b := m.open(t, "k", Options{Limits: every(time.Hour)}), m.open(t, "k", Options{})
	first := reserve(t, a)
	waits := reserve(t, a)
	done := make(chan error)
	go func() { done <- waits.Wait(context.Background()) }()
	behind := reserve(t, b)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("one who waits: %v", err)
	}
	if err := a.Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("one who asks: %v", err)
	}
	if d := behind.Since1970() - first.Since1970(); d != time.Hour {
		t.Errorf("the one behind has its slot after %v", d)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"redis://h":                            `"redis" is not the scheme`,
		"dynamodb://":                          "can't be the name",
		"dynamodb://ab":                        "can't be the name",
		"dynamodb://a:secret@throttle":         "no user and password",
		"dynamodb://throttle/x":                `there is "/x"`,
		"dynamodb://throttle:8000":             "has no port",
		"dynamodb://throttle?zone=1":           `no option "zone"`,
		"dynamodb://throttle?endpoint=host:80": "not the URL of a server",
		"dynamodb://throttle?%zz":              "option=value",
		"dynamodb://thr%zzottle":               "not the URL",
	} {
		if _, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	a, err := ParseURL("dynamodb://throttle?region=eu-west-1&profile=p&endpoint=http://localhost:8000")
	if want := (Address{"throttle", "eu-west-1", "http://localhost:8000", "p"}); err != nil || a != want {
		t.Errorf("%+v, %v", a, err)
	}
}
