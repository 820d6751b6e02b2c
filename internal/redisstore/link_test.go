package redisstore

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// slowly returns the URL of a server over a link that takes d each way.
func (s *server) slowly(t testing.TB, d time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port)) //nolint:noctx // it ends with the test
			if err != nil {
				_ = client.Close()
				continue
			}
			go later(server, client, d)
			go later(client, server, d)
		}
	}()
	return "redis://" + l.Addr().String() + "/0"
}

// later copies what is read from one connection to another, a time later.
func later(to, from net.Conn, d time.Duration) {
	type chunk struct {
		at time.Time
		b  []byte
	}
	chunks := make(chan chunk, 1024)
	go func() {
		defer close(chunks)
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if n > 0 {
				chunks <- chunk{time.Now().Add(d), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range chunks {
		time.Sleep(time.Until(c.at))
		if _, err := to.Write(c.b); err != nil {
			break
		}
	}
	_ = to.Close()
	_, _ = io.Copy(io.Discard, from)
}

// What only a client can do, such as the end of a cooldown, is done soon however many look at the same time, over a slow link.
func TestManyOverASlowLink(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const clients = 150
	limits := pacer.Limits{pacer.Per(1000, time.Second)}
	address := s.slowly(t, 10*time.Millisecond)
	near := s.open(t, "k", Options{Limits: limits})
	reserve(t, near)
	if err := near.SetCooldown(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for range clients {
		st := openURL(t, address, "k", Options{})
		all.Go(func() {
			if err := st.WaitN(ctx, 1); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			took = append(took, time.Since(begin))
			mu.Unlock()
		})
	}
	all.Wait()
	if len(took) == clients {
		t.Logf("the first after %v, the last after %v", took[0], took[clients-1])
		if took[0] > 10*time.Second { // it was half a minute when each look was in the way of those who computed
			t.Error("they were in each other's way")
		}
	}
}

// A change that was computed on a state that was lost meanwhile is not written on another one that has had as many changes.
func TestVersionOfALostState(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := Options{Limits: pacer.Limits{pacer.Every(time.Hour)}}
	old := s.open(t, "k", o)
	reserve(t, old)
	a, err := old.call(t.Context(), nil, "read")
	if err != nil {
		t.Fatal(err)
	}
	change, err := old.parse(a)
	if err != nil {
		t.Fatal(err)
	}
	change.setLimits(pacer.Limits{pacer.Every(time.Second)})
	s.do(t, "FLUSHALL")
	reserve(t, s.open(t, "k", o))
	if ok, _, err := change.commit(t.Context()); ok || err != nil {
		t.Errorf("it was written: %v, %v", ok, err)
	}
}

func TestSetOnABusyKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	limits := pacer.Limits{pacer.Per(1000, time.Second)}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 8 {
		st := s.open(t, "k", Options{Limits: limits})
		all.Go(func() {
			for ctx.Err() == nil {
				_ = st.WaitN(ctx, 1) // until it ends
			}
		})
	}
	far := openURL(t, s.slowly(t, 10*time.Millisecond), "k", Options{})
	begin := time.Now()
	bound, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := far.SetLimits(bound, pacer.Limits{pacer.Per(900, time.Second)}); err != nil {
		t.Error(err)
	}
	t.Log(time.Since(begin))
	stop()
	all.Wait()
}

// A window that was made larger and longer again and again remembers no more than package pacer reads.
func TestManyRuns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	now := int64(1_700_000_000_000_000_000)
	st := s.open(t, "k", Options{now: func() string { return clock(now) }})
	window := func(n int64, per time.Duration) pacer.Limits {
		return pacer.Limits{pacer.Per(n, per).With(pacer.SlidingWindow)}
	}
	change := func(limits pacer.Limits, n int, every time.Duration) {
		t.Helper()
		err := st.update(t.Context(), func(x *tx) error {
			x.setLimits(limits)
			for range n {
				now += int64(every)
				x.take(now, 1)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const half = pacer.RunsMost / 2
	change(window(half, 48*time.Hour), half, time.Millisecond)
	change(window(4*half, 96*time.Hour), half-1, 96*time.Hour/half) // the shortest time in which grants do not count as one
	change(window(8*half, 400*time.Hour), 0, 0)
	for range 4 { // the script makes these
		now += int64(100 * time.Second)
		reserve(t, st)
	}
	status, err := st.Status(t.Context())
	if err != nil || status.Grants != pacer.RunsMost+3 {
		t.Errorf("%d grants, %v", status.Grants, err)
	}
}

// The slot of one who has many before it that cost more than a unit is not found out at each look, and exact when it is asked for.
func TestManyThatCostMore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Minute)}, Debt: true})
	first := reserve(t, st)
	var last *Reservation
	for range 100 {
		var err error
		if last, err = st.Reserve(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := last.look(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if now := last.now(); now.exact || !now.some || now.slot > int64(first.Since1970()+300*time.Minute) {
		t.Errorf("%+v", now)
	}
	if d := last.Since1970() - first.Since1970(); d != 300*time.Minute {
		t.Errorf("the last one is %v after the first", d)
	}
}

// One whose answer was lost, and who finds out about its grant long after, asks again: as others may at the same time.
func TestAnswerLostForLong(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	now := int64(1_700_000_000_000_000_000)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(200 * time.Millisecond)}, now: func() string { return clock(now) }})
	reserve(t, st)
	a := reserve(t, st)
	now += int64(3 * time.Second)
	e, _ := parseEntry(a.now().member)
	again, err := st.askOnce(t.Context(), 1, math.MaxInt64, queueMost, e.number, e.number)
	if err != nil || again.phase != granted || again.slot != now {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestErrorOfAScript(t *testing.T) {
	v := &Server{place: &place{scheme: single, hosts: []string{"host:6379"}}}
	for text, away := range map[string]bool{
		"ERR Error running script (call to f_9f1): @user_script:9: @user_script: 9: -READONLY You can't write against a read only replica.":   true,
		"ERR Error running script (call to f_9f1): @user_script:9: @user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.": true,
		"ERR Error running script (call to f_9f1): @user_script:9: attempt to call a nil value":                                               false,
		"OOM command not allowed when used memory > 'maxmemory'. script: 9f1, on @user_script:9.":                                             true,
	} {
		if err := v.named(errors.New(text), Options{}); IsAway(err) != away || away && strings.Contains(err.Error(), "call to") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := v.named(errors.New("ERR Error running script (call to f_9f1): @user_script:9: @user_script: 9: -WRONGTYPE Operation against a key"), Options{}); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
}
