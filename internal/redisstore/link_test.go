package redisstore

import (
	"context"
	"io"
	"net"
	"strconv"
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
			for st.WaitN(ctx, 1) == nil {
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
