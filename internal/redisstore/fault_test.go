package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/storecheck"
	"github.com/throttle-cli/throttle/pacer"
)

// The server is restarted while 200 clients wait: no two grants are closer than the limit allows, and all are made.
func TestRestartWithManyClients(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--appendonly", "yes", "--appendfsync", "always")
	stores := make([]*Store, 200)
	for i := range stores {
		stores[i] = s.open(t, "k", Options{Limits: pacer.Limits{pacer.Per(500, time.Second)}, Away: time.Minute})
	}
	slots := collectWhile(t, 5, func() {
		<-time.After(700 * time.Millisecond)
		s.kill()
		<-time.After(300 * time.Millisecond)
		until(t, s.start)
	}, stores...)
	exact := apart(t, slots, 2*time.Millisecond, 0)
	t.Logf("%d grants in %v, none early, %d exactly 2 ms after the one before", len(slots), slots[len(slots)-1]-slots[0], exact)
}

// A server that refuses to write has granted nothing, and who puts up with it goes on when it writes again.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ refuse, allow []any }{
		"OOM":      {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		"READONLY": {[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			limits := pacer.Limits{pacer.Every(20 * time.Millisecond)}
			st := s.open(t, "k", Options{Limits: limits})
			first := collect(t, 5, st)
			grants := func() uint64 {
				status, err := st.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return status.Grants
			}
			before := grants()
			s.do(t, c.refuse...)
			if err := st.WaitN(t.Context(), 1); !IsAway(err) || !strings.Contains(err.Error(), name) {
				t.Errorf("it refuses: %v", err)
			}
			if report, err := Check(t.Context(), s.url(), Options{}); err != nil || !report.Serious() || !said(report, name) && !said(report, "replica") {
				t.Errorf("%+v, %v", report, err)
			}
			if n := grants(); n != before {
				t.Errorf("there are %d grants, and were %d", n, before)
			}
			patient := s.open(t, "k", Options{Limits: limits, Away: time.Minute})
			slots := collectWhile(t, 10, func() {
				<-time.After(200 * time.Millisecond)
				s.do(t, c.allow...)
			}, patient)
			apart(t, append(first, slots...), 20*time.Millisecond, 0)
		})
	}
}

func said(r storecheck.Report, what string) bool {
	return slices.ContainsFunc(r.Problems, func(p storecheck.Problem) bool { return strings.Contains(p.What+p.Do, what) })
}

func TestNoSuchDatabase(t *testing.T) {
	s := newServer(t)
	_, err := openURL(t, strings.TrimSuffix(s.url(), "0")+"99", "k", Options{}).Status(t.Context())
	if err == nil || IsAway(err) || !strings.Contains(err.Error(), "there is no database 99") {
		t.Error(err)
	}
}

func TestWrongPassword(t *testing.T) {
	s := newServer(t, "--requirepass", "right")
	host := strings.TrimPrefix(s.url(), "redis://")
	for address, want := range map[string]string{
		"redis://:wrong@" + host:                   "WRONGPASS",
		"redis://who:right@" + host:                "WRONGPASS",
		"redis://" + host:                          "WRONGPASS invalid username-password pair or user is disabled. (the password is that of $REDISCLI_AUTH)",
		"redis://" + host + "?client_name=without": "REDISCLI_AUTH",
	} {
		o := Options{Getenv: func(string) string { return "other" }}
		report, err := Check(t.Context(), address, o)
		if err != nil || !report.Serious() || !said(report, want) || report.Problems[0].Do == "" {
			t.Errorf("%s: %+v, %v", address, report, err)
		}
	}
	report, err := Check(t.Context(), s.url(), Options{Getenv: noEnv})
	if err != nil || !said(report, "NOAUTH") || !said(report, "?password_file=PATH") {
		t.Errorf("%+v, %v", report, err)
	}
}

// A user who may do no more than docs/stores.md has can do all; for each command that is missing the error says which.
func TestPermissions(t *testing.T) {
	s := newServer(t)
	address := strings.Replace(s.url(), "://", "://user:pass@", 1)
	needed := map[string]bool{}
	for _, args := range probes("k") {
		needed[args[0].(string)] = true //nolint:forcetypeassert // it is the name of a command
	}
	limits := pacer.Limits{pacer.Every(time.Millisecond), pacer.Per(1000, time.Minute).With(pacer.SlidingWindow)}
	allow := func(keys, but string) {
		args := []any{"ACL", "SETUSER", "user", "reset", "on", ">pass", keys}
		for _, name := range slices.Sorted(maps.Keys(needed)) {
			if name != but {
				args = append(args, "+"+strings.ToLower(name))
			}
		}
		s.do(t, args...)
	}
	allow("~throttle:*", "")
	for _, o := range []Options{{Limits: limits}, {Limits: pacer.Limits{pacer.Every(time.Hour)}}} {
		st := openURL(t, address, fmt.Sprint(o.Limits), o)
		if _, err := st.Reserve(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		r, err := st.Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		r.Cancel()
		if err := errors.Join(st.SetPaused(t.Context(), true), st.Reset(t.Context()), st.Close()); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Check(t.Context(), address, Options{})
	if err != nil || report.Serious() || !said(report, "+info") || !said(report, "+scan") {
		t.Errorf("%+v, %v", report, err)
	}
	for name := range needed {
		allow("~throttle:*", name)
		denied, err := Check(t.Context(), address, Options{})
		if err != nil || !denied.Serious() || !said(denied, "no permission for "+name) && !said(denied, "'"+strings.ToLower(name)+"'") {
			t.Errorf("without %s: %+v, %v", name, denied, err)
		}
	}
	for _, name := range []string{"EVALSHA", "HMGET", "TIME", "HSET"} { // which a grant needs
		allow("~throttle:*", name)
		s.do(t, "DEL", keysOf("k")[0])
		var permission *PermissionError
		err := openURL(t, address, "k", Options{Limits: limits}).WaitN(t.Context(), 1)
		if !errors.As(err, &permission) || IsAway(err) || !slices.Equal(permission.Commands, []string{name}) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	allow("~other:*", "")
	if err := openURL(t, address, "k", Options{Limits: limits}).WaitN(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "keys throttle:*") {
		t.Errorf("without the keys: %v", err)
	}
}

// The clocks of clients do not matter: in a bubble it is the year 2000.
func TestClockOfAClient(t *testing.T) {
	s := newServer(t)
	limits := pacer.Limits{pacer.Every(300 * time.Millisecond)}
	a := s.open(t, "k", Options{Limits: limits})
	first := reserve(t, a)
	second := reserve(t, a)
	var third *Reservation
	synctest.Test(t, func(t *testing.T) {
		b, err := Open(context.Background(), s.url(), "k", Options{Limits: limits, Getenv: noEnv})
		if err != nil {
			t.Fatal(err)
		}
		if third, err = b.Reserve(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		if y := time.Now().Year(); y != 2000 {
			t.Errorf("it is %d", y)
		}
		st := third.now()
		if d := time.Until(st.due); d <= 0 || d > 600*time.Millisecond {
			t.Errorf("the slot is %v away", d)
		}
		if d := time.Duration(st.slot) - time.Duration(first.now().slot); d != 600*time.Millisecond {
			t.Errorf("the slot is %v after the first", d)
		}
		b.mu.Lock()
		clear(b.mine) // so that it does not give its place back
		b.mu.Unlock()
		_ = b.Close()
	})
	fourth := reserve(t, a)
	if err := fourth.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := fourth.Since1970() - second.Since1970(); d != 600*time.Millisecond {
		t.Errorf("the slot of one behind is after %v", d)
	}
}

func TestCheck(t *testing.T) {
	s := newServer(t)
	before := s.do(t, "DBSIZE")
	report, err := Check(t.Context(), s.url(), Options{})
	if err != nil || report.Serious() || report.RoundTrip <= 0 || report.Median < report.RoundTrip || !strings.HasPrefix(report.Server, "Redis ") &&
		!strings.HasPrefix(report.Server, "Valkey ") || !strings.HasSuffix(report.Server, ", standalone") {
		t.Errorf("%+v, %v", report, err)
	}
	if report.AheadLeast > 0 || report.AheadMost < 0 || report.AheadMost-report.AheadLeast > report.RoundTrip+time.Millisecond {
		t.Errorf("on one host the clock is ahead by %v to %v", report.AheadLeast, report.AheadMost)
	}
	if !said(report, "nothing is on disk") || said(report, "forgets keys") {
		t.Errorf("%+v", report)
	}
	s.do(t, "CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru", "appendonly", "yes")
	report, err = Check(t.Context(), s.url(), Options{})
	if err != nil || report.Serious() || said(report, "on disk") || !said(report, "forgets keys") {
		t.Errorf("%+v, %v", report, err)
	}
	if after := s.do(t, "DBSIZE"); after != before {
		t.Errorf("there are %v keys, and were %v", after, before)
	}
	s.kill()
	report, err = Check(t.Context(), s.url(), Options{})
	if err != nil || !report.Serious() || !said(report, "refused") {
		t.Errorf("%+v, %v", report, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := Check(ctx, s.url(), Options{}); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestInfo(t *testing.T) {
	for text, want := range map[string]string{
		"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n":                           "Redis 7.0.15, standalone",
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\nredis_mode:cluster": "Valkey 8.1.0, cluster",
		"# Server\r\nredis_version:6.3.4\r\nredis_mode:standalone\r\n# KeyDB\r\nmvcc_depth:0":     "KeyDB 6.3.4, standalone",
		"redis_version:7.4.0\r\ndragonfly_version:df-v1.27.1\r\nredis_mode:standalone":            "Dragonfly df-v1.27.1, standalone",
		"": "Redis of unknown version, mode unknown",
	} {
		if got := parseInfo(text).server(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	node := parseInfo("redis_mode:cluster\r\ncluster_enabled:1\r\nrole:slave\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\nloading:1\r\n")
	if p := node.problems(&place{scheme: tlsOne}); len(p) != 3 || !p[0].Serious || !strings.Contains(p[0].Do, "rediss+cluster://") || !p[1].Serious || p[2].Serious {
		t.Errorf("%+v", p)
	}
	_, err := exec.LookPath("redis-server")
	if err != nil {
		return
	}
	_, address := newCluster(t, false)
	report, err := Check(t.Context(), address, Options{})
	if err != nil || report.Serious() || !strings.HasSuffix(report.Server, ", cluster") || len(report.Problems) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	report, err = Check(t.Context(), "redis://"+strings.Split(strings.TrimPrefix(address, "redis+cluster://"), ",")[0], Options{})
	if err != nil || !report.Serious() || !said(report, "redis+cluster://") {
		t.Errorf("%+v, %v", report, err)
	}
}

func FuzzInfo(f *testing.F) {
	f.Add("# Server\r\nredis_version:7.0.15\r\nserver_name:x\r\n:\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		i := parseInfo(text)
		if i.server() == "" || i.problems(&place{scheme: single}) == nil && i["role"] == "slave" {
			t.Error(i)
		}
	})
}

// After each loss of the state there is at most what an idle limit allows at once: of a bucket its burst, of a window all of it.
func TestFlushedUnderLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit pacer.Limit
		extra int
	}{
		{pacer.Every(10 * time.Millisecond), 1},
		{pacer.Every(10 * time.Millisecond).WithBurst(5), 5},
		{pacer.Per(20, 200*time.Millisecond).With(pacer.SlidingWindow), 20},
	} {
		t.Run(c.limit.String(), func(t *testing.T) {
			const flushes = 3
			s := newServer(t)
			o := Options{Limits: pacer.Limits{c.limit}}
			stores := []*Store{s.open(t, "k", o), s.open(t, "k", o), s.open(t, "k", o)}
			slots := collectWhile(t, 40, func() {
				for range flushes {
					<-time.After(150 * time.Millisecond)
					s.do(t, "FLUSHALL")
				}
			}, stores...)
			// More than n units in a time that is too short for them.
			most, n := 0, int(c.limit.Events)*flushes
			for i := range slots {
				j := i
				for j < len(slots) && slots[j]-slots[i] < c.limit.Per*flushes {
					j++
				}
				most = max(most, j-i)
			}
			t.Logf("%d grants in %v of %v: %d more than allowed, after %d flushes", most, c.limit.Per*flushes, c.limit, most-n, flushes)
			if burst := max(int(c.limit.Burst), 0); most > n+burst+c.extra*flushes {
				t.Errorf("%d grants in %v", most, c.limit.Per*flushes)
			}
		})
	}
}

// What the remote said is not forgotten because the server was away for a moment.
func TestThrottledWhileAway(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--appendonly", "yes", "--appendfsync", "always")
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Millisecond)}, Away: time.Minute})
	r := reserve(t, st)
	s.kill()
	started := make(chan struct{})
	go func() {
		defer close(started)
		<-time.After(100 * time.Millisecond)
		until(t, s.start)
	}()
	c, err := r.Throttled(t.Context(), pacer.Feedback{After: time.Hour})
	<-started
	if err != nil || c.Length < 50*time.Minute {
		t.Errorf("%+v, %v", c, err)
	}
}
