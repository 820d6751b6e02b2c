package pacehttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
	"github.com/throttle-cli/throttle/pacer/pacehttp"
)

// A remote answers without a network, and says when it was asked.
type remote struct {
	mu     sync.Mutex
	start  time.Time
	asked  []string
	answer func(n int) (status int, retryAfter string)
}

func (r *remote) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.asked = append(r.asked, fmt.Sprint(req.URL.Host, " ", time.Since(r.start)))
	n := len(r.asked)
	r.mu.Unlock()
	status, after := r.answer(n)
	h := http.Header{}
	if after != "" {
		h.Set("Retry-After", after)
	}
	return &http.Response{StatusCode: status, Header: h, Body: http.NoBody, Request: req}, nil
}

func get(t *testing.T, c *http.Client, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

func TestEachHostHasItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &remote{start: time.Now(), answer: func(int) (int, string) { return http.StatusOK, "" }}
		tr := pacehttp.New(pacer.Every(time.Second))
		tr.Base = r
		c := &http.Client{Transport: tr}
		for _, url := range []string{"http://a/1", "http://a:80/2", "http://b/", "http://A/3", "http://b:81/"} {
			if err := get(t, c, url); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(r.asked, ", "); got != "a 0s, a:80 1s, b 1s, A 2s, b:81 2s" {
			t.Error(got)
		}
	})
}

// One who knows better than the host who is asked says which pacer it is; an error of that is one of the request.
func TestThePacerIsThatOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &remote{start: time.Now(), answer: func(int) (int, string) { return http.StatusOK, "" }}
		all := pacer.New(pacer.Every(time.Second))
		blocked := errors.New("blocked")
		c := &http.Client{Transport: &pacehttp.Transport{Base: r, Pacer: func(req *http.Request) (*pacer.Pacer, error) {
			if req.URL.Host == "c" {
				return nil, blocked
			}
			return all, nil
		}}}
		if err := errors.Join(get(t, c, "http://a/"), get(t, c, "http://b/")); err != nil {
			t.Fatal(err)
		}
		if err := get(t, c, "http://c/"); !errors.Is(err, blocked) {
			t.Errorf("%v", err)
		}
		if got := strings.Join(r.asked, ", "); got != "a 0s, b 1s" {
			t.Error(got)
		}
	})
}

func TestRetryAfterHoldsForTheHost(t *testing.T) {
	for _, c := range []struct {
		status int
		after  string
		want   time.Duration
	}{
		{http.StatusTooManyRequests, "30", 30 * time.Second},
		{http.StatusServiceUnavailable, "30", 30 * time.Second},
		{http.StatusServiceUnavailable, "", time.Second},
		{http.StatusTooManyRequests, "Sat, 01 Jan 2000 00:00:40 GMT", 40 * time.Second}, // the clock of a bubble begins in 2000
		{http.StatusTooManyRequests, "999999999999999999", time.Minute},
		{http.StatusOK, "30", time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &remote{start: time.Now(), answer: func(n int) (int, string) {
				if n == 1 {
					return c.status, c.after
				}
				return http.StatusOK, ""
			}}
			tr := pacehttp.New(pacer.Every(time.Second))
			tr.Base, tr.Feedback = r, pacer.Feedback{Most: time.Minute}
			client := &http.Client{Transport: tr}
			for range 2 {
				if err := get(t, client, "http://a/"); err != nil {
					t.Fatal(err)
				}
			}
			if got := fmt.Sprint("a ", c.want); r.asked[1] != got {
				t.Errorf("%d %q: asked again at %s, want %s", c.status, c.after, r.asked[1], got)
			}
		})
	}
}

// What the answer to a request says holds for the host, also if it took so long that its pacer was forgotten meanwhile: of requests
// that were under way together that is one event.
func TestTheAnswerToALongRequestHoldsForTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pacer.NewRegistry(pacer.RegistryOptions{Default: pacer.Limits{pacer.Every(time.Second)}, Idle: time.Minute})
		tr := &pacehttp.Transport{Pacers: r, Feedback: pacer.Feedback{Adaptive: true}}
		tr.Base = &remote{start: time.Now(), answer: func(int) (int, string) {
			time.Sleep(10 * time.Minute)
			return http.StatusTooManyRequests, "30"
		}}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := get(t, &http.Client{Transport: tr}, "http://a/"); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Minute)
		r.Sweep()
		if r.Len() != 0 {
			t.Fatal("the pacer is kept: this test needs one that is forgotten")
		}
		wg.Wait()
		p, err := r.Get("a")
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Until(p.Cooldown()); d != 30*time.Second {
			t.Errorf("the cooldown lasts %v", d)
		}
		if got := p.Effective(); !got.Equal(pacer.Per(7, 10*time.Second)) {
			t.Errorf("the rate is %v", got)
		}
	})
}

func TestLimitsThatAreNotValidAreAnError(t *testing.T) {
	r := &remote{answer: func(int) (int, string) { return http.StatusOK, "" }}
	limit := pacer.Every(time.Second).Aligned(pacer.AtDay, "")
	tr := pacehttp.New(limit)
	tr.Base = r
	if err := get(t, &http.Client{Transport: tr}, "http://a/"); err == nil || !strings.Contains(err.Error(), limit.Validate().Error()) {
		t.Errorf("%v", err)
	}
}

// Without a Base connections are those of http.DefaultTransport.
func TestCloseIdleConnections(t *testing.T) {
	closed := make(chan struct{}, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.Start()
	defer srv.Close()
	c := &http.Client{Transport: pacehttp.New(pacer.Unlimited())}
	if err := get(t, c, srv.URL); err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	<-closed
}

func TestARequestThatEndsIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &remote{answer: func(int) (int, string) { return http.StatusOK, "" }}
		tr := pacehttp.New(pacer.Every(time.Hour))
		tr.Base = r
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for i := range 2 {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://a/", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if errors.Is(err, context.DeadlineExceeded) != (i == 1) {
				t.Errorf("request %d: %v", i, err)
			}
		}
		if len(r.asked) != 1 {
			t.Errorf("%v", r.asked)
		}
	})
}

func TestWithoutPacersARequestIsAnError(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "http://localhost/", http.NoBody)
	resp, err := new(pacehttp.Transport).RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Error("it was made")
	}
}

// A client that asks each host ten times a second at the most, and leaves it alone when it says so.
func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer srv.Close()
	client := &http.Client{Transport: pacehttp.New(pacer.Per(10, time.Second))}
	start := time.Now()
	for range 3 {
		resp, err := client.Get(srv.URL)
		if err != nil {
			return
		}
		_ = resp.Body.Close()
	}
	fmt.Println(time.Since(start) >= 200*time.Millisecond)
	// Output: true
}
