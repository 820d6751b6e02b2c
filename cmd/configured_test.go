package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/config"
)

const configured = `[defaults]
attempts = 4
max_wait = "5m"
key = "{limit}/{account}"
burst = 9

[limits.ec2]
rate = ["20/s", { rate = "100/h", algorithm = "sliding-window" }]
max_wait = "30s"
debt = true

[limits.ec2.accounts."1"]
every = "200ms"
burst = 3
key = "one"

[limits.ec2.accounts."2"]
limit = 0

[limits.open]
cost = 5
`

// A mode is what the flags of one come to.
type mode struct {
	rates    []string
	every    string
	burst    int64
	cost     string
	debt     bool
	wait     string
	noWait   bool
	key      string
	state    string
	cooldown time.Duration
	code     codeValue
}

func (m *mode) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("mode", pflag.ContinueOnError)
	f.StringArrayVar(&m.rates, "rate", nil, "")
	f.StringVar(&m.every, "every", "", "")
	f.StringVar(&m.every, "delay", "", "")
	f.Int64Var(&m.burst, "burst", noBurst, "")
	f.StringVar(&m.cost, "cost", "1", "")
	f.BoolVar(&m.debt, "debt", false, "")
	f.StringVar(&m.wait, "max-wait", "", "")
	f.BoolVar(&m.noWait, "no-wait", false, "")
	f.Var((*name)(&m.key), "key", "")
	f.Var((*name)(&m.state), "state", "")
	f.Var(newDuration(&m.cooldown, time.Hour), "max-cooldown", "")
	m.code = codeNotGranted
	f.Var(&m.code, "conflict-exit-code", "")
	return f
}

func (m *mode) String() string {
	s := fmt.Sprintf("%q %q burst %d cost %s debt %t wait %q %t key %q", m.rates, m.every, m.burst, m.cost, m.debt, m.wait, m.noWait, m.key)
	if m.state != "" {
		s += fmt.Sprintf(" state %q", m.state)
	}
	return s
}

// What a mode goes by: the account before the limit before the flags before the defaults.
func TestApplyLimit(t *testing.T) {
	for _, c := range []struct {
		name, args string
		env        map[string]string
		want       string // of the mode, or of the error
		warned     string
	}{
		{
			name: "nothing is given", args: "",
			want: `[] "" burst 9 cost 1 debt false wait "5m" false key ""`,
		},
		{
			name: "flags go before the defaults", args: "--burst 2 --max-wait 1s --key k --rate 5/s",
			want: `["5/s"] "" burst 2 cost 1 debt false wait "1s" false key "k"`,
		},
		{
			name: "a limit, for any account", args: "--limit ec2 --account 7",
			want: `["20/s" "100/h,algorithm=sliding-window"] "" burst 9 cost 1 debt true wait "30s" false key "ec2/7"`,
		},
		{
			name: "a limit goes before flags", args: "--limit ec2 --account 7 --rate 50/s --rate 80/m --max-wait 1s --burst 4",
			want: `["20/s" "100/h,algorithm=sliding-window"] "" burst 4 cost 1 debt true wait "30s" false key "ec2/7"`,
			warned: "throttle: warning: --rate 50/s 80/m does not hold: rate = 20/s and 100/h,algorithm=sliding-window (limit ec2, throttle.toml:8)\n" +
				"throttle: warning: --max-wait 1s does not hold: max_wait = 30s (limit ec2, throttle.toml:9)\n",
		},
		{
			name: "an account goes before its limit, and one way to say the rate before the other", args: "--limit ec2 --account 1 --rate 1/s",
			want:   `[] "200ms" burst 3 cost 1 debt true wait "30s" false key "one"`,
			warned: "throttle: warning: --rate 1/s does not hold: every = 200ms (account 1 of limit ec2, throttle.toml:13)\n",
		},
		{
			name: "the other way round", args: "--limit ec2 --account 7 --delay 1s",
			want:   `["20/s" "100/h,algorithm=sliding-window"] "" burst 9 cost 1 debt true wait "30s" false key "ec2/7"`,
			warned: "throttle: warning: --every 1s does not hold: rate = 20/s and 100/h,algorithm=sliding-window (limit ec2, throttle.toml:8)\n",
		},
		{
			name: "the environment is overruled without a word", args: "--limit ec2 --account 7", env: map[string]string{"RATE": "1/s", "MAX_WAIT": "1s", "BURST": "4"},
			want: `["20/s" "100/h,algorithm=sliding-window"] "" burst 4 cost 1 debt true wait "30s" false key "ec2/7"`,
		},
		{
			name: "what is said twice is no contradiction", args: "--limit ec2 --account 7 --max-wait 30s",
			want: `["20/s" "100/h,algorithm=sliding-window"] "" burst 9 cost 1 debt true wait "30s" false key "ec2/7"`,
		},
		{
			name: "a limit that leaves the rate open", args: "--limit open --account 7 --every 1s",
			want: `[] "1s" burst 9 cost 5 debt false wait "5m" false key "open/7"`,
		},
		{
			name: "who does not wait", args: "--limit ec2 --account 7 --no-wait",
			want: `["20/s" "100/h,algorithm=sliding-window"] "" burst 9 cost 1 debt true wait "" true key "ec2/7"`,
		},
		{
			name: "a key of one's own", args: "--limit open --key mine",
			want: `[] "" burst 9 cost 5 debt false wait "5m" false key "mine"`,
		},
		{
			name: "the job that we are has a key, and the limit another one", args: "--limit open --account 7", env: map[string]string{"SEQ": "3", "KEY": "outer"},
			want: `[] "" burst 9 cost 5 debt false wait "5m" false key "open/7"`,
		},
		{
			name: "an account without a limit, in the environment", args: "", env: map[string]string{"ACCOUNT": "1"},
			want: `[] "" burst 9 cost 1 debt false wait "5m" false key ""`,
		},

		{name: "an account without a limit", args: "--account 1", want: "error: account 1 is that of no limit: say which"},
		{name: "no such limit", args: "--limit ec3", want: "error: there is no limit \"ec3\" in throttle.toml: did you mean \"ec2\"?\nthere are ec2, open"},
		{name: "a key without its account", args: "--limit ec2", want: `error: key = "{limit}/{account}" has {account}, but none is given: give --account (defaults, throttle.toml:4)`},
		{name: "a state file and a key", args: "--limit ec2 --account 1 --state f", want: `error: --state does not go with the key of limit ec2, which is "one" (account 1 of limit ec2, throttle.toml:15)`},
		{name: "blocked", args: "--limit ec2 --account 2 --rate 1/s", want: "exit 75: limit ec2, account 2 is blocked (throttle.toml:18: limit = 0)"},
		{name: "blocked, with another exit code", args: "--limit ec2 --account 2 --conflict-exit-code 9", want: "exit 9: limit ec2, account 2 is blocked (throttle.toml:18: limit = 0)"},
		{name: "no such file", args: "--config nosuch.toml", want: "error: stat nosuch.toml: no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFolder(t, configured)
			got, warned := apply(t, c.args, c.env)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if warned != c.warned {
				t.Errorf("it warns\n%sand not\n%s", warned, c.warned)
			}
		})
	}
}

// A key that is made of the name of the limit leaves a state file alone; so do the defaults.
func TestApplyLimitToAStateFile(t *testing.T) {
	inFolder(t, "[limits.a]\nrate = '1/s'\n")
	if got, want := first(apply(t, "--limit a --state f", nil)), `["1/s"] "" burst -1 cost 1 debt false wait "" false key "" state "f"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	inFolder(t, "[defaults]\nlimit = 0\n")
	if got, want := first(apply(t, "", nil)), "exit 75: a call without --limit is blocked (throttle.toml:2: limit = 0)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func first(a, _ string) string { return a }

func inFolder(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "none"))
	if err := os.WriteFile("throttle.toml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func apply(t *testing.T, args string, env map[string]string) (got, warned string) {
	t.Helper()
	if seq, ok := env["SEQ"]; ok {
		t.Setenv("THROTTLE_SEQ", seq)
	}
	var m mode
	var o configOptions
	flags := m.flags()
	o.addFlags(flags)
	if err := flags.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	err := fromEnvironment(flags, func(name string) (string, bool) {
		v, ok := env[strings.TrimPrefix(name, "THROTTLE_")]
		return v, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	var blocked *blockedError
	o.settle(flags) // as each mode does
	switch err := applyLimit(t.Context(), flags, &o, newLogger(&b)); {
	case errors.As(err, &blocked):
		return fmt.Sprintf("exit %d: %v", codeOf(err), err), b.String()
	case err != nil:
		return "error: " + err.Error(), b.String()
	}
	for _, f := range []string{"rate", "max-wait", "burst"} {
		if flags.Lookup(f).Annotations[fromFile] != nil && givenHere(flags, f) {
			t.Errorf("--%s is from the file and counts as given here", f)
		}
	}
	return m.String(), b.String()
}

// What a file may say of a limit, limits show can be asked about.
func TestShowTakesAFlagForEachField(t *testing.T) {
	flags := newLimitsShowCommand(streams{log: newLogger(io.Discard)}).Flags()
	for _, field := range config.Fields() {
		if field != "limit" && field != "store" && flagOf(flags, field) == nil {
			t.Errorf("there is no flag for %s", field)
		}
	}
}
