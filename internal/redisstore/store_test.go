package redisstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func reserve(t *testing.T, s *Store) *Reservation {
	t.Helper()
	r, err := s.Reserve(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// collect returns the slots of grants that clients take, n each, in order.
func collect(t *testing.T, n int, stores ...*Store) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var slots []time.Duration
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			for range n {
				r, err := s.Grant(t.Context(), 1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				slots = append(slots, r.Since1970())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(slots)
	return slots
}

// apart checks that slots are at least d apart, but for some, and returns how many are exactly so.
func apart(t *testing.T, slots []time.Duration, d time.Duration, but int) (exact int) {
	t.Helper()
	early := 0
	for i := 1; i < len(slots); i++ {
		switch gap := slots[i] - slots[i-1]; {
		case gap == d:
			exact++
		case gap < d:
			early++
		}
	}
	if early > but {
		t.Errorf("%d grants are early", early)
	}
	return exact
}

// calls returns how many scripts the server has run.
func calls(t *testing.T, s *server) (n int) {
	t.Helper()
	info, err := s.admin().Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		var k int
		if rest, ok := strings.CutPrefix(line, "cmdstat_eval"); ok {
			_, after, _ := strings.Cut(rest, "calls=")
			_, _ = fmt.Sscanf(after, "%d", &k)
			n += k
		}
	}
	return n
}

func TestOneRoundTripForAGrant(t *testing.T) {
	for _, limits := range []pacer.Limits{
		{pacer.Every(time.Nanosecond)},
		{pacer.Per(1e6, time.Second).With(pacer.TokenBucket), pacer.Per(1e6, time.Hour).With(pacer.SlidingWindow), pacer.Per(1e6, time.Hour).With(pacer.FixedWindow)},
		{pacer.Per(1e6, 24*time.Hour).Aligned(pacer.AtDay, "Europe/Berlin")},
	} {
		s := newServer(t)
		st := s.open(t, "k", Options{Limits: limits})
		collect(t, 3, st)
		before := calls(t, s)
		collect(t, 100, st)
		if n := calls(t, s) - before; n != 100 {
			t.Errorf("%v: 100 grants take %d round trips", limits, n)
		}
	}
}

func TestTwoRoundTripsForOneThatWaits(t *testing.T) {
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(30 * time.Millisecond)}})
	collect(t, 1, st)
	before := calls(t, s)
	collect(t, 10, st)
	if n := calls(t, s) - before; n > 25 { // on a slow machine one may be due at once, or look too early
		t.Errorf("10 grants that wait take %d round trips", n)
	}
}

// Where grants were due one after another, only the short way is asked for; the first that has to wait takes one round trip more.
func TestEndOfAStreak(t *testing.T) {
	s := newServer(t)
	const refill = 200 * time.Millisecond // less than the time between two looks
	var st *Store
	var slots []time.Duration
	before := 0
	for try := range 20 { // until nothing has come into the bucket before the one that is to wait asks
		start := time.Now()
		st = s.open(t, fmt.Sprint(try), Options{Limits: pacer.Limits{pacer.Per(1, refill).WithBurst(20)}})
		slots = collect(t, 20, st)
		if n := st.streak.Load(); n < streakLong { // all of a burst are due, however slow the machine is
			t.Fatalf("a streak of %d", n)
		}
		before = calls(t, s)
		if time.Since(start) < refill/2 {
			break
		}
	}
	slots = append(slots, collect(t, 1, st)...)
	if n := calls(t, s) - before; n < 3 || n > 5 {
		t.Errorf("one that waits takes %d round trips", n)
	}
	if d := slots[20] - slots[0]; d < refill {
		t.Errorf("the one behind the burst comes after %v", d)
	}
	if status, err := st.Status(t.Context()); err != nil || status.Grants != 21 {
		t.Errorf("%d grants, %v", status.Grants, err)
	}
}

func TestManyClients(t *testing.T) {
	s := newServer(t)
	limits := pacer.Limits{pacer.Per(500, time.Second)}
	stores := make([]*Store, 200)
	for i := range stores {
		stores[i] = s.open(t, "k", Options{Limits: limits})
	}
	if err := stores[0].SetLimits(t.Context(), pacer.Limits{{}}); err != nil {
		t.Fatal(err)
	}
	rs := make([]*Reservation, 3*len(stores))
	for i := range rs {
		rs[i] = reserve(t, stores[i%len(stores)])
	}
	if err := stores[0].SetLimits(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, r := range rs {
		wg.Go(func() {
			if err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, r := range rs { // as long as nobody has overslept
		if got := r.Since1970() - rs[0].Since1970(); got != time.Duration(i)*2*time.Millisecond {
			t.Fatalf("slot %d is %v after the first", i, got)
		}
	}
	slots := collect(t, 3, stores...)
	exact := apart(t, slots, 2*time.Millisecond, 0)
	t.Logf("%d of %d slots are exactly 2 ms after the one before, and none is less", exact, len(slots)-1)
}

func TestServerRestarted(t *testing.T) {
	for name, args := range map[string][]string{"state kept": {"--appendonly", "yes", "--appendfsync", "always"}, "state lost": nil} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, args...)
			stores := make([]*Store, 10)
			for i := range stores {
				stores[i] = s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(10 * time.Millisecond)}, Away: time.Minute})
			}
			restarted := make(chan struct{})
			go func() {
				defer close(restarted)
				<-time.After(300 * time.Millisecond)
				s.kill()
				<-time.After(200 * time.Millisecond)
				for !s.start() {
					<-time.After(100 * time.Millisecond)
				}
			}()
			slots := collect(t, 10, stores...)
			<-restarted
			but := 0
			if args == nil {
				but = 1 // who asks first may not know of the last grant before
			}
			apart(t, slots, 10*time.Millisecond, but)
			if len(slots) != 100 {
				t.Errorf("%d grants", len(slots))
			}
		})
	}
}

func TestServerAway(t *testing.T) {
	s := newServer(t)
	o := Options{Limits: pacer.Limits{pacer.Every(time.Hour)}}
	st := s.open(t, "k", o)
	reserve(t, st)
	waits := reserve(t, st)
	s.kill()
	for _, err := range []error{st.WaitN(t.Context(), 1), waits.Wait(t.Context())} {
		if !IsAway(err) || !strings.Contains(err.Error(), s.url()) {
			t.Errorf("the server is away: %v", err)
		}
	}
	if _, err := s.open(t, "k", o).Status(t.Context()); !IsAway(err) {
		t.Errorf("the server is away: %v", err)
	}
	if _, err := Keys(t.Context(), s.url(), o); !IsAway(err) {
		t.Errorf("the server is away: %v", err)
	}
}

func TestServerThatDoesNotAnswer(t *testing.T) {
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Nanosecond)}, Timeout: 200 * time.Millisecond})
	collect(t, 1, st)
	if err := s.admin().Do(t.Context(), "CLIENT", "PAUSE", "1000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	if err := st.WaitN(ctx, 1); !errors.Is(err, why) && !IsAway(err) {
		t.Errorf("the end of a context: %v", err)
	}
	if err := st.WaitN(t.Context(), 1); !IsAway(err) || !strings.Contains(err.Error(), "no answer within 200ms") {
		t.Errorf("no answer: %v", err)
	}
}

func TestScriptFlushed(t *testing.T) {
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(5 * time.Millisecond)}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			_ = s.admin().ScriptFlush(context.Background())
			<-time.After(20 * time.Millisecond)
		}
	}()
	apart(t, collect(t, 40, st), 5*time.Millisecond, 0)
	<-done
}

// One who has asked and was not answered is found again.
func TestAnswerLost(t *testing.T) {
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(200 * time.Millisecond)}})
	first := reserve(t, st)
	a := reserve(t, st)
	e, _ := parseEntry(a.now().member)
	again, err := st.askOnce(t.Context(), 1, time.Hour, queueMost, e.number, e.number)
	if err != nil || again.member != a.now().member {
		t.Errorf("%+v, %v", again, err)
	}
	behind := reserve(t, st)
	if d := behind.Since1970() - first.Since1970(); d != 400*time.Millisecond {
		t.Errorf("there are two of it: the one behind has its slot after %v", d)
	}
	if err := behind.Wait(t.Context()); err != nil { // and so the one before is a grant
		t.Fatal(err)
	}
	again, err = st.askOnce(t.Context(), 1, time.Hour, queueMost, e.number, e.number)
	if err != nil || again.phase != granted || time.Duration(again.slot)-first.Since1970() != 200*time.Millisecond {
		t.Errorf("%+v, %v", again, err)
	}
}

// Nothing is left of those who have been served, or have left, but the state.
func TestNothingIsLeft(t *testing.T) {
	s := newServer(t)
	for range 5 {
		st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(10 * time.Millisecond)}})
		rs := []*Reservation{reserve(t, st), reserve(t, st), reserve(t, st), reserve(t, st), reserve(t, st)}
		for i, r := range rs {
			if i == 3 {
				r.Cancel()
			} else if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if keys, err := s.admin().Keys(t.Context(), "*").Result(); err != nil || len(keys) != 1 {
		t.Errorf("%v, %v", keys, err)
	}
}

// What was lost with the state is made up for by those who know of it.
func TestStateFlushed(t *testing.T) {
	s := newServer(t)
	limits := pacer.Limits{pacer.Every(40 * time.Millisecond)}
	a, b := s.open(t, "k", Options{Limits: limits}), s.open(t, "k", Options{Limits: limits})
	first := collect(t, 2, a)
	waits := []*Reservation{reserve(t, a), reserve(t, b), reserve(t, a)}
	if err := s.admin().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	var slots []time.Duration
	for _, i := range []int{0, 1, 2} {
		if err := waits[i].Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		slots = append(slots, waits[i].Since1970())
	}
	slices.Sort(slots)
	if d := slots[0] - first[1]; d < 40*time.Millisecond {
		t.Errorf("%v after the last grant there is another one", d)
	}
	apart(t, slots, 40*time.Millisecond, 0)
}

func TestRunsEvicted(t *testing.T) {
	s := newServer(t)
	limits := pacer.Limits{pacer.Per(3, time.Hour).With(pacer.SlidingWindow)}
	var damage *DamageError
	st := s.open(t, "k", Options{Limits: limits, Warn: func(err error) { errors.As(err, &damage) }})
	collect(t, 1, st)
	collect(t, 1, st)
	if err := s.admin().Del(t.Context(), st.keys[4]).Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		granted, wait, err := st.Try(t.Context(), 1)
		if granted || err != nil || wait < 50*time.Minute {
			t.Errorf("granted %v, wait %v, %v", granted, wait, err)
		}
	}
	_, err := st.Reserve(t.Context(), 1)
	if err != nil || damage == nil {
		t.Errorf("%v, warned of %v", err, damage)
	}
}

func TestForeignKeys(t *testing.T) {
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Hour)}})
	for _, put := range []func() error{
		func() error { return s.admin().Set(t.Context(), st.keys[0], "mine", 0).Err() },
		func() error {
			_ = s.admin().Del(t.Context(), st.keys[0]).Err()
			return s.admin().HSet(t.Context(), st.keys[0], "m", string(doubles(nil, make([]float64, 14)...)), "b", "x", "l", "y", "i", "z").Err()
		},
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		before, _ := s.admin().Dump(t.Context(), st.keys[0]).Result()
		if err := st.WaitN(t.Context(), 1); !errors.Is(err, ErrForeign) {
			t.Errorf("a key that is not ours: %v", err)
		}
		if after, _ := s.admin().Dump(t.Context(), st.keys[0]).Result(); after != before {
			t.Error("it was changed")
		}
	}
}

func TestStateOutlastsTheDebt(t *testing.T) {
	s := newServer(t)
	for i, limit := range []pacer.Limit{
		pacer.Per(1, 200*24*time.Hour), pacer.Per(1, 50*24*time.Hour).With(pacer.SlidingWindow), pacer.Per(1, 50*24*time.Hour).With(pacer.FixedWindow),
	} {
		st := s.open(t, fmt.Sprint("k", i), Options{Limits: pacer.Limits{limit}, Keep: time.Hour})
		collect(t, 1, st)
		if ttl := s.admin().TTL(t.Context(), st.keys[0]).Val(); ttl < limit.Per {
			t.Errorf("%v: the state is gone after %v", limit, ttl)
		}
		if ttl := s.admin().TTL(t.Context(), st.keys[4]).Val(); limit.Algorithm == pacer.SlidingWindow && ttl < limit.Per {
			t.Errorf("%v: the runs are gone after %v", limit, ttl)
		}
	}
	st := s.open(t, "paused", Options{Limits: pacer.Limits{pacer.Every(time.Second)}})
	if err := st.SetPaused(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if ttl := s.admin().TTL(t.Context(), st.keys[0]).Val(); ttl != -1 {
		t.Errorf("a pause is forgotten after %v", ttl)
	}
}

// A clock that was set back goes on where it was.
func TestClockSetBack(t *testing.T) {
	s := newServer(t)
	now := int64(1e18)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Second)}, now: func() string { return clock(now) }})
	collect(t, 1, st)
	now -= int64(time.Hour)
	r := reserve(t, st)
	if got := r.Since1970(); got != 1e18+time.Second {
		t.Errorf("the next slot is at %v", got)
	}
	now += int64(time.Second)
	if err := r.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestConflictAndUnit(t *testing.T) {
	s := newServer(t)
	var warned []error
	a := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Hour)}})
	b := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(2 * time.Hour)}, Warn: func(err error) { warned = append(warned, err) }})
	reserve(t, a)
	r := reserve(t, b)
	if got := r.Since1970(); len(warned) != 1 || !b.Limit().Equal(pacer.Every(2*time.Hour)) || got == 0 {
		t.Errorf("%v, %v", warned, b.Limits())
	}
	var conflict *pacer.ConflictError
	if len(warned) == 1 && !errors.As(warned[0], &conflict) {
		t.Error(warned[0])
	}
	if _, err := s.open(t, "k", Options{Bytes: true, Limits: pacer.Limits{pacer.Every(time.Hour)}}).Reserve(t.Context(), 1); !errors.Is(err, pacer.ErrUnit) {
		t.Errorf("bytes: %v", err)
	}
	if _, err := s.open(t, "none", Options{}).Reserve(t.Context(), 1); !errors.Is(err, pacer.ErrNoLimit) {
		t.Errorf("no limit: %v", err)
	}
	if _, err := s.open(t, "k", Options{Queue: 1}).Reserve(t.Context(), 1); !errors.Is(err, ErrFull) {
		t.Errorf("queue of 1: %v", err)
	}
	st, err := a.Status(t.Context())
	if err != nil || len(st.Waiting) != 1 || st.Grants != 1 || st.Waiting[0].PID != os.Getpid() || st.Waiting[0].Slot.IsZero() {
		t.Errorf("%+v, %v", st, err)
	}
	if err := a.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	const secret = "s3cr:t/#@"
	s := newServer(t, "--requirepass", "right")
	host := strings.TrimSuffix(strings.TrimPrefix(s.url(), "redis://"), "/0")
	for _, address := range []string{
		"redis://:" + "s3crt" + "@" + host + "/0", "redis://user:s3crt@" + host, "redis://user:" + secret + "@" + host, "redis://:s3crt@" + host + "/x",
		"redis://:s3crt@127.0.0.1:1", "http://:s3crt@" + host, "redis://" + host + "/0", "", "redis://s3crt:x:y@" + host,
	} {
		st, err := Open(t.Context(), address, "k", Options{Timeout: time.Second})
		if err == nil {
			_, err = st.Status(t.Context())
			_ = st.Close()
		}
		if err == nil || errors.Is(err, pacer.ErrNoState) || strings.Contains(err.Error(), "s3cr") {
			t.Errorf("%q: %v", address, err)
		}
	}
	st, err := Open(t.Context(), "redis://:right@"+host+"/0", "k", Options{Limits: pacer.Limits{pacer.Every(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	collect(t, 1, st)
	if status, err := st.Status(t.Context()); err != nil || strings.Contains(fmt.Sprintf("%+v", status), "right") {
		t.Errorf("%+v, %v", status, err)
	}
	_ = st.Close()
}

func TestClosed(t *testing.T) {
	s := newServer(t)
	limits := pacer.Limits{pacer.Every(time.Hour)}
	a, b := s.open(t, "k", Options{Limits: limits}), s.open(t, "k", Options{Limits: limits})
	first := reserve(t, a)
	r := reserve(t, a)
	behind := reserve(t, b)
	waited := make(chan error)
	go func() { waited <- r.Wait(context.Background()) }()
	<-time.After(10 * time.Millisecond)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, ErrClosed) {
		t.Errorf("one who waits gets %v", err)
	}
	if err := a.WaitN(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("a call after Close: %v", err)
	}
	if d := behind.Since1970() - time.Duration(first.now().slot); d != time.Hour {
		t.Errorf("the one behind has its slot after %v", d)
	}
}

// So does one whose place only the client can compute what becomes of: it costs more than the one behind, by several limits.
func TestClosedWithAPlaceThatIsComputedHere(t *testing.T) {
	s := newServer(t)
	limits := pacer.Limits{pacer.Per(2, time.Hour).WithBurst(2), pacer.Per(5, time.Hour).With(pacer.SlidingWindow)}
	a, b := s.open(t, "k", Options{Limits: limits, Debt: true}), s.open(t, "k", Options{Limits: limits, Debt: true})
	for _, n := range []int{2, 4} {
		if _, err := a.Reserve(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Reserve(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := b.Status(t.Context()); err != nil || len(st.Waiting) != 1 || st.Waiting[0].Cost != 3 {
		t.Errorf("%+v, %v", st.Waiting, err)
	}
}

// A process that is killed while it waits loses its place, and not before the time of its heartbeat.
func TestKilledWhileWaiting(t *testing.T) {
	if address := os.Getenv("TEST_REDISSTORE_WAITS"); address != "" {
		st, err := Open(t.Context(), address, "k", Options{Heartbeat: 4 * time.Second})
		if err == nil {
			err = st.WaitN(t.Context(), 1)
		}
		t.Fatal(err)
	}
	t.Parallel()
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Hour)}, Heartbeat: 4 * time.Second})
	first := reserve(t, st)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileWaiting$") //nolint:gosec // the test itself
	cmd.Env = append(os.Environ(), "TEST_REDISSTORE_WAITS="+s.url())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		status, err := st.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(status.Waiting) == 1 {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	behind := reserve(t, st)
	<-time.After(5 * time.Second) // it lives
	if d := behind.Since1970() - first.Since1970(); d != 2*time.Hour {
		t.Errorf("behind one who lives the slot is after %v", d)
	}
	killed := time.Now()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for behind.Since1970()-first.Since1970() != time.Hour {
		<-time.After(50 * time.Millisecond)
	}
	if d := time.Since(killed); d < 2*time.Second { // it was heard of up to a second before, or later
		t.Errorf("its place was given back after %v", d)
	}
}

func TestKeys(t *testing.T) {
	s := newServer(t)
	if _, err := s.open(t, "none", Options{}).Status(t.Context()); !errors.Is(err, pacer.ErrNoState) {
		t.Errorf("a key without state: %v", err)
	}
	want := []string{"", "a", "a{b}", "b*", "ü%7B"}
	for _, key := range want {
		collect(t, 1, s.open(t, key, Options{Limits: pacer.Limits{pacer.Per(3, time.Hour).With(pacer.SlidingWindow)}}))
	}
	admin := s.admin()
	for i := range 3000 { // more than one call returns
		if err := admin.Set(t.Context(), fmt.Sprintf("throttle:{%d}:state", i), "not ours", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := Keys(t.Context(), s.url(), Options{})
	if err != nil || !slices.Equal(keys, want) {
		t.Errorf("%q, %v", keys, err)
	}
}

// Limits that follow from those stored, and limits of which something is left open.
func TestLimitsThatFollow(t *testing.T) {
	s := newServer(t)
	a, b := s.open(t, "k", Options{}), s.open(t, "k", Options{})
	one := func(stored pacer.Limits) (pacer.Limits, error) {
		if stored != nil {
			return nil, fmt.Errorf("there is %v", stored)
		}
		return pacer.Limits{pacer.Per(1, time.Hour)}, nil
	}
	if err := a.ChangeLimits(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if err := b.ChangeLimits(t.Context(), one); err == nil || b.Limits() != nil {
		t.Errorf("%v, %v", err, b.Limits())
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := []*Store{a, b}[i%2].ChangeLimits(t.Context(), func(stored pacer.Limits) (pacer.Limits, error) {
				return pacer.Limits{pacer.Per(stored[0].Events+1, time.Hour).WithBurst(5)}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if st, err := a.Status(t.Context()); err != nil || st.Limit.Events != 21 {
		t.Errorf("20 changes of 1 an hour make %v, %v", st.Limit, err)
	}
	var warned error
	o := Options{
		Limits: pacer.Limits{pacer.Per(21, time.Hour)}, Warn: func(err error) { warned = err },
		As: func(stored pacer.Limits) pacer.Limits {
			return pacer.Limits{pacer.Per(21, time.Hour).WithBurst(stored[0].Burst)}
		},
	}
	c := s.open(t, "k", o)
	collect(t, 1, c)
	if warned != nil || c.Limit().Burst != 5 {
		t.Errorf("%v, warned of %v", c.Limit(), warned)
	}
}

// A place is kept as long as its Store is open, whatever else that asks for meanwhile.
func TestPlaceIsKeptBesideOtherCalls(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := Options{Limits: pacer.Limits{pacer.Every(time.Hour)}, Heartbeat: time.Second}
	a, b := s.open(t, "k", o), s.open(t, "k", o)
	first := reserve(t, a)
	place := reserve(t, a)
	for start := time.Now(); time.Since(start) < 3*time.Second; <-time.After(20 * time.Millisecond) {
		if granted, _, err := a.Try(t.Context(), 1); granted || err != nil {
			t.Fatalf("%v, %v", granted, err)
		}
	}
	if behind := reserve(t, b); behind.Since1970()-first.Since1970() != 2*time.Hour || place.now().phase != waiting {
		t.Errorf("the place is lost: the one behind has its slot %v after the first", behind.Since1970()-first.Since1970())
	}
}
