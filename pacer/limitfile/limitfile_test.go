package limitfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
	"github.com/throttle-cli/throttle/pacer/limitfile"
)

func load(t *testing.T, text string) *limitfile.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := limitfile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const file = `
[defaults]
max_wait = "5s"
algorithm = "token-bucket"

[limits.a]
rate = "2/s"
burst = 4
cost = 3
debt = true
max_queue = 7
max_cooldown = "1m"
adaptive = true

[limits.a.accounts.1]
every = "10s"
burst = 1
cost = 1

[limits.a.accounts.2]
limit = 0

[limits.open]
cost = 1

[limits.one]
rate = "1/s"
key = "shared"
algorithm = "paced"

[limits.two]
every = "4s"
key = "shared"
algorithm = "paced"
`

func TestLifeomicLookup(t *testing.T) {
	f := load(t, file)
	if names := f.Names(); !slices.Equal(names, []string{"a", "one", "open", "two"}) {
		t.Errorf("%q", names)
	}
	if names := f.Accounts("a"); !slices.Equal(names, []string{"1", "2"}) {
		t.Errorf("%q", names)
	}
	l, err := f.Lookup("a", "")
	if err != nil {
		t.Fatal(err)
	}
	if l.Limits.String() != "2/s,algorithm=token-bucket,burst=4" || l.Key != "a" || l.Cost != 3 || !l.Debt || l.MaxQueue != 7 || l.MaxWait != 5*time.Second ||
		l.Feedback != (pacer.Feedback{Most: time.Minute, Adaptive: true}) || l.Unit != pacer.Events {
		t.Errorf("%+v", l)
	}
	l, err = f.Lookup("a", "1")
	if err != nil || l.Limits.String() != "1/10s,algorithm=token-bucket,burst=1" || l.Key != "a:1" || l.Cost != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	l, err = f.Lookup("one", "")
	if err != nil || l.MaxQueue != -1 || l.Cost != 1 || l.Debt {
		t.Errorf("%+v, %v", l, err)
	}

	var blocked *limitfile.BlockedError
	if _, err := f.Lookup("a", "2"); !errors.As(err, &blocked) || blocked.Name != "a" || blocked.Account != "2" || blocked.Line != 21 {
		t.Errorf("%v", err)
	}
	if _, err := f.Lookup("open", ""); !errors.Is(err, limitfile.ErrNoRate) || err.Error() != "limit open: no rate is said in its file" {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"", "opne"} {
		if _, err := f.Lookup(name, ""); !errors.Is(err, pacer.ErrUnknown) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := limitfile.Load("nosuch.toml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestTokenThrottlerUnknownKeyIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(path, []byte("[limits.a]\nrate = '1/s'\nreplenish_time = 2\n[limits.b]\nrat = '1/s'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := limitfile.Load(path)
	for _, want := range []string{path + `:3:1: unknown key "replenish_time" in limit a`, path + `:5:1: unknown key "rat" in limit b: did you mean "rate"?`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

// What the texts say is read once, also for accounts that the file does not have, each of which has its own name.
func TestLookupReadsOnce(t *testing.T) {
	f := load(t, `
[limits.a]
rate = ["20/s", "100/h"]
key = "{limit}/{account}/{1}"
[limits.a.accounts.1]
rate = "5/s"
[limits.a.accounts.2]
limit = 0
[limits.open]
`)
	for range 2 {
		for account, want := range map[string]string{"1": "a/1/{1}: 5/s", "x": "a/x/{1}: 20/s and 100/h", "{limit}": "a/{limit}/{1}: 20/s and 100/h"} {
			l, err := f.Lookup("a", account)
			if got := l.Key + ": " + l.Limits.String(); err != nil || got != want || l.Account != account || l.Name != "a" {
				t.Errorf("account %s has %s, %v; want %s", account, got, err, want)
			}
			l.Limits[0] = pacer.Unlimited() // ours
		}
		if _, err := f.Lookup("a", ""); err == nil || !strings.Contains(err.Error(), "{account}") {
			t.Errorf("a key without its account: %v", err)
		}
		if _, err := f.Lookup("open", "x"); err == nil || err.Error() != "limit open, account x: no rate is said in its file" {
			t.Errorf("%v", err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = f.Lookup("a", "1") }); n > 2 {
		t.Errorf("%v allocations to look up what is known", n)
	}
}

// One queue is either this or that: a file that says both is refused, in place of one that goes by whoever asks first.
func TestLimitsThatShareAKeyShareAQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.toml")
	text := "[limits.a]\nkey = 'k'\nrate = '1/s'\n[limits.b]\nkey = 'k'\nrate = '1/s'\nmax_queue = 1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + `:7:1: limit b has max_queue = 1 and limit a no max_queue, and the key of both is "k": who waits for it waits in one queue`
	if _, err := limitfile.Load(path); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// That a limit is blocked is said in the words of the command line.
func TestBlockedErrorQuotesAsTheCommandLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(path, []byte("[limits.'a b']\nlimit = 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := limitfile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `limit "a b", account "x.y" is blocked (` + path + `:2: limit = 0)`
	if _, err := f.Lookup("a b", "x.y"); err == nil || err.Error() != want {
		t.Errorf("%v\nand not\n%s", err, want)
	}
}

// What the parts together make impossible is an error of the file.
func TestLoadChecksParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(path, []byte("[limits.a]\nrate = '1/s'\ncost = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + ":3:1: cost 2 is above the burst of 1, which is the most that one grant can take: give it a burst, or debt = true"
	if _, err := limitfile.Load(path); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// Grants cost what the file says, and come within its max_wait or not at all.
func TestPacers(t *testing.T) {
	f := load(t, file)
	synctest.Test(t, func(t *testing.T) {
		p := f.Pacers()
		start := time.Now()
		wait := func(name, account string, want time.Duration) {
			t.Helper()
			if err := p.Wait(t.Context(), name, account); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d != want {
				t.Errorf("a grant of %s, %s at %v, want %v", name, account, d, want)
			}
		}
		wait("a", "1", 0)
		var late *limitfile.LateError
		if err := p.Wait(t.Context(), "a", "1"); !errors.As(err, &late) || late.Wait != 10*time.Second || late.Most != 5*time.Second {
			t.Errorf("%v", err)
		}
		wait("a", "", 0) // 3 of 4
		wait("a", "other", 0)
		wait("a", "", time.Second) // 2 more, at 2/s
		time.Sleep(5 * time.Second)
		wait("a", "1", 10*time.Second) // the one that was late took no place
		if err := p.Wait(t.Context(), "a", "2"); !errors.As(err, new(*limitfile.BlockedError)) {
			t.Errorf("%v", err)
		}
		start = time.Now()
		wait("one", "", 0)
		wait("one", "", time.Second)
		wait("two", "", 5*time.Second) // the same key: 4 s from the one before
		wait("one", "", 9*time.Second) // and so from now on
		moved, err := p.Get("one", "")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { moved.SetCooldown(time.Hour) })
		if err := p.Wait(t.Context(), "one", ""); !errors.As(err, &late) || late.Wait >= 0 {
			t.Errorf("a slot that is moved away: %v", err)
		}
		p.Close()
		if err := p.Wait(t.Context(), "a", "1"); !errors.Is(err, pacer.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Of limits with one key all hold, whoever asks first or at the same time, and a rate that was cut stays cut.
func TestLimitsThatShareAKey(t *testing.T) {
	f := load(t, `
[defaults]
key = "shared {limit}"
[limits.a]
rate = "100/h,algorithm=sliding-window"
key = "shared"
[limits.b]
rate = "90/h,algorithm=sliding-window"
key = "shared"
[limits.c]
rate = "70/m,algorithm=fixed-window"
key = "shared"
[limits.d]
rate = "9/s"
key = "shared"
[limits.many]
rate = ["1/s,algorithm=sliding-window", "1/2s,algorithm=sliding-window", "1/3s,algorithm=sliding-window", "1/4s,algorithm=sliding-window",
  "1/5s,algorithm=sliding-window", "1/6s,algorithm=sliding-window"]
key = "shared"
`)
	for range 200 {
		p := f.Pacers()
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d"} {
			wg.Go(func() {
				if _, err := p.Get(name, ""); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		found, err := p.Get("a", "")
		if err != nil {
			t.Fatal(err)
		}
		want := pacer.Limits{pacer.Per(90, time.Hour).With(pacer.SlidingWindow), pacer.Per(70, time.Minute).With(pacer.FixedWindow), pacer.Per(9, time.Second)}
		if got := found.Limits(); !got.Equal(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if _, err := p.Get("many", ""); err == nil || err.Error() != "limit many, and others with the key shared: 9 limits at once: there may be 8" {
			t.Errorf("%v", err)
		}
	}
	p := f.Pacers()
	found, err := p.Get("a", "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := found.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	r.Throttled(pacer.Feedback{Adaptive: true})
	if _, err := p.Get("b", ""); err != nil {
		t.Fatal(err)
	}
	if got := found.Effective(); !got.Equal(pacer.Per(63, time.Hour).With(pacer.SlidingWindow)) {
		t.Errorf("a rate that was cut to 0.7 is %v of 90/h", got)
	}
}
