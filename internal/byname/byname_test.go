package byname_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/pacer"
)

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		rate byname.Rate
		want string // the limits, or the error
	}{
		{byname.Rate{}, ""},
		{byname.Rate{Rates: []string{"20/s"}}, "20/s"},
		{byname.Rate{Every: "100ms"}, "1/100ms"},
		{byname.Rate{Every: "100ms", Algorithm: "token-bucket", Burst: 3}, "1/100ms,algorithm=token-bucket,burst=3"},
		{byname.Rate{Rates: []string{"15/m", "100/h"}, Burst: 3}, "15/m,burst=3 and 100/h,burst=3"},
		// What a rate says of itself goes first.
		{
			byname.Rate{Rates: []string{"15/m", "100/h,algorithm=paced", "10/s,burst=2", "9/d,align=day"}, Algorithm: "token-bucket", Burst: 3},
			"15/m,algorithm=token-bucket,burst=3 and 100/h,burst=3 and 10/s,algorithm=token-bucket,burst=2 and 9/d,algorithm=fixed-window,align=day",
		},
		// A burst is for the buckets among them, and an error where there is none.
		{byname.Rate{Rates: []string{"15/m", "100/h,algorithm=sliding-window"}, Burst: 3}, "15/m,burst=3 and 100/h,algorithm=sliding-window"},
		{byname.Rate{Rates: []string{"15/m"}, Algorithm: "sliding-window", Burst: 3}, "burst 3 does not go with 15/m,algorithm=sliding-window: all of a window may be granted at once, after idle time and otherwise"},
		{byname.Rate{Rates: []string{"inf"}, Algorithm: "sliding-window", Burst: 3}, "inf"},
		{byname.Rate{Rates: []string{"none"}}, "none"},
		{byname.Rate{Rates: []string{"inf", "5/s"}}, "a rate of inf says that there is no limit: give it alone"},
		{byname.Rate{Rates: []string{"1/s"}, Every: "1s"}, "rate and every both say the rate: give one of them"},
		{byname.Rate{Rates: []string{"1/s", "1MiB/s"}}, "one rate counts bytes and another one events: all have to count the same"},
		{byname.Rate{Rates: strings.Fields(strings.Repeat("1/s ", 9))}, "9 limits at once: there may be 8"},
	} {
		limits, _, err := c.rate.Limits()
		got := limits.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v\ngot  %s\nwant %s", c.rate, got, c.want)
		}
	}
	if _, unit, err := (byname.Rate{Rates: []string{"1MiB/s"}}).Limits(); unit != pacer.Bytes || err != nil {
		t.Errorf("unit %v, %v", unit, err)
	}
}

// What is wrong with right parts is told once, at the place of one of them; a key that needs an account is no error.
func TestProblems(t *testing.T) {
	want := ":4:1: burst 5 does not go with 10/s,algorithm=sliding-window: all of a window may be granted at once, after idle time and otherwise\n" +
		":11:1: cost 2 is above the burst of 1, which is the most that one grant can take: give it a burst, or debt = true"
	if got := problems(t, byname.Problems, `[limits.a]
key = "{account}"
rate = "10/s"
burst = 5
[limits.a.accounts.1]
algorithm = "sliding-window"
[limits.a.accounts.2]
algorithm = "sliding-window"
rate = "3/s"
[limits.b]
cost = 2
debt = true
rate = "1/s"
[limits.b.accounts.1]
debt = false
[limits.c]
cost = 5
`); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What is wrong is told at the line that says it: what is wrong with rates at the rate, whatever else is said.
func TestProblemsAreWhereTheyAre(t *testing.T) {
	for text, want := range map[string]string{
		"[limits.a]\nburst = 2\nalgorithm = 'token-bucket'\nrate = ['1/s', '1MiB/s']":                        ":4:1: one rate counts bytes and another one events: all have to count the same",
		"[limits.a]\nburst = 2\nrate = ['1/s', 'inf']":                                                       ":3:1: a rate of inf says that there is no limit: give it alone",
		"[limits.a]\nburst = 2\nrate = [" + strings.Repeat("'1/s', ", 9) + "]":                               ":3:1: 9 limits at once: there may be 8",
		"[limits.a]\nrate = '1/s,burst=2'\nalgorithm = 'fixed-window'":                                       ":2:1: burst=2 does not go with algorithm=fixed-window: all of its 1 may be granted at once, after idle time and otherwise",
		"[limits.a]\nalgorithm = 'fixed-window'\nevery = '1s'\nburst = 3":                                    ":4:1: burst 3 does not go with 1/s,algorithm=fixed-window: all of a window may be granted at once, after idle time and otherwise",
		"[defaults]\nrate = '1/s'\ncost = 3":                                                                 ":3:1: cost 3 is above the burst of 1, which is the most that one grant can take: give it a burst, or debt = true",
		"[defaults]\nrate = '1/s'\nburst = 3\nalgorithm = 'fixed-window'\n[limits.a]\n[limits.b.accounts.1]": ":3:1: burst 3 does not go with 1/s,algorithm=fixed-window: all of a window may be granted at once, after idle time and otherwise",
		"[defaults]\nlimit = 0\ncost = 3":                                                                    "",
	} {
		if got := problems(t, byname.Problems, text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// Limits that wait in one queue have to say the same of it.
func TestQueueProblems(t *testing.T) {
	for text, want := range map[string]string{
		"[limits.a]\nkey = 'k'\n[limits.b]\nkey = 'k'\nmax_queue = 3": `:5:1: limit b has max_queue = 3 and limit a no max_queue, and the key of both is "k": who waits for it waits in one queue`,
		"[limits.a]\nkey = 'k'\nmax_queue = 3\n[limits.b]\nkey = 'k'": `:3:1: limit b has no max_queue and limit a max_queue = 3, and the key of both is "k": who waits for it waits in one queue`,
		"[limits.a]\nkey = 'k'\n[limits.a.accounts.1]\ndebt = true":   `:4:1: limit a, account 1 has debt = true and limit a debt = false, and the key of both is "k": who waits for it waits in one queue`,
		// The same key for accounts of the same name, whether the file has them or not.
		"[limits.a]\nkey = '{account}'\n[limits.b]\nkey = '{account}'\ndebt = true":                                       `:5:1: limit b has debt = true and limit a debt = false, and the key of both is "{account}": who waits for it waits in one queue`,
		"[limits.a]\nkey = '{account}'\n[limits.b]\nkey = 'b:{account}'\n[limits.b.accounts.1]\nkey = '1'\nmax_queue = 0": `:7:1: limit a has no max_queue and limit b, account 1 max_queue = 0, and the key of both is "1": who waits for it waits in one queue`,
		"[limits.a]\n[limits.b]\nkey = 'a'\ndebt = true":                                                                  `:4:1: limit b has debt = true and limit a debt = false, and the key of both is "a": who waits for it waits in one queue`,
		// Nobody waits for what is blocked, and others have another key.
		"[limits.a]\nkey = 'k'\n[limits.b]\nkey = 'k'\nlimit = 0\ndebt = true":     "",
		"[limits.a]\ndebt = true\n[limits.a.accounts.1]\ndebt = false\n[limits.b]": "",
		"[defaults]\nmax_queue = 3\n[limits.a]\nkey = 'k'\n[limits.b]\nkey = 'k'":  "",
	} {
		if got := problems(t, byname.QueueProblems, text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
		if got := problems(t, byname.Problems, text); got != "" {
			t.Errorf("%s\nis wrong for the command line: %s", text, got)
		}
	}
}

// problems returns what is wrong with a file, without its name.
func problems(t *testing.T, with func(*config.Config) []error, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := byname.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, err := range with(c) {
		got = append(got, strings.TrimPrefix(err.Error(), file))
	}
	return strings.Join(got, "\n")
}

// What a rate leaves open is as it is stored, where that goes with it.
func TestAs(t *testing.T) {
	for _, c := range []struct {
		rate         byname.Rate
		stored, want string
	}{
		{byname.Rate{Rates: []string{"5/s"}}, "10/s,algorithm=token-bucket,burst=3", "5/s,algorithm=token-bucket,burst=3"},
		{byname.Rate{Rates: []string{"5/s"}, Burst: 2}, "10/s,algorithm=token-bucket,burst=3", "5/s,burst=2"},
		{byname.Rate{Rates: []string{"5/s,algorithm=paced"}}, "10/s,burst=3", "5/s"},
		{byname.Rate{Every: "1m"}, "10/s,algorithm=sliding-window", "1/m,algorithm=sliding-window"},
		{byname.Rate{Every: "1m"}, "1000/d,algorithm=fixed-window,align=day", "1/m"}, // no window of a calendar is as long
		{byname.Rate{Rates: []string{"5/s", "9/m"}}, "10/s,burst=3 and 100/h,burst=4", "5/s,burst=3 and 9/m"},
		{byname.Rate{Rates: []string{"inf"}}, "10/s,burst=3", "inf"},
		{byname.Rate{Rates: []string{"5/s"}}, "", "5/s"},
	} {
		limits, _, err := c.rate.Limits()
		if err != nil {
			t.Fatal(err)
		}
		before := limits.String()
		if got := c.rate.As(limits, parse(t, c.stored)).String(); got != c.want || limits.String() != before {
			t.Errorf("%+v as %s is %s, want %s; it was %s and is %v", c.rate, c.stored, got, c.want, before, limits)
		}
	}
	if (byname.Rate{}).IsOpen() || (byname.Rate{Rates: []string{"1/s,burst=2"}}).IsOpen() || (byname.Rate{Every: "1s", Burst: 2}).IsOpen() || !(byname.Rate{Every: "1s"}).IsOpen() {
		t.Error("what is said is open, or the other way round")
	}
}

// What is stored gets the algorithm and the burst that are said.
func TestOver(t *testing.T) {
	for _, c := range []struct {
		rate         byname.Rate
		stored, want string
	}{
		{byname.Rate{Burst: 3}, "5/s", "5/s,burst=3"},
		{byname.Rate{Burst: 3}, "5/s and 9/m,algorithm=sliding-window", "5/s,burst=3 and 9/m,algorithm=sliding-window"},
		{byname.Rate{Burst: 3}, "9/m,algorithm=sliding-window", "burst 3 does not go with 9/m,algorithm=sliding-window: all of a window may be granted at once, after idle time and otherwise"},
		{byname.Rate{Algorithm: "token-bucket"}, "5/s,burst=3", "5/s,algorithm=token-bucket,burst=3"},
		{byname.Rate{Algorithm: "paced"}, "9/d,algorithm=fixed-window,align=day", "9/d"},
		{byname.Rate{Algorithm: "sliding-window"}, "5/s,burst=3", "5/s,algorithm=sliding-window"},
		{byname.Rate{Algorithm: "leaky"}, "5/s", `unknown algorithm "leaky": it is one of paced, token-bucket, sliding-window, fixed-window`},
	} {
		limits, err := c.rate.Over(parse(t, c.stored))
		got := limits.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v over %s\ngot  %s\nwant %s", c.rate, c.stored, got, c.want)
		}
	}
}

func parse(t *testing.T, text string) pacer.Limits {
	t.Helper()
	if text == "" {
		return nil
	}
	var limits pacer.Limits
	for _, one := range strings.Split(text, " and ") {
		l, _, err := pacer.ParseLimit(one)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, l)
	}
	return limits
}
