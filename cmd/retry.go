package cmd

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/preset"
	"github.com/throttle-cli/throttle/pacer"
)

// retryOptions say which attempts are run again, and which of them slow the rate down.
type retryOptions struct {
	attempts     int
	retryOn      []string
	throttledOn  []string
	preset       string
	backoff      time.Duration
	maxBackoff   time.Duration
	maxThrottled int
	maxCooldown  time.Duration
	adaptive     bool
	timeout      time.Duration
	given        func(flag string) bool // whether a flag stands on the command line
}

func (o *retryOptions) addFlags(f *pflag.FlagSet) {
	f.IntVar(&o.attempts, "attempts", 1, "run what fails again, up to `N` times in all")
	f.StringArrayVar(&o.retryOn, "retry-on", nil, "only if `WHAT`: exit=LIST, stderr=RE, stdout=RE, signal")
	f.Var(newDuration(&o.backoff, time.Second), "backoff", "wait up to `DURATION` before, then twice that, ...")
	f.Var(newDuration(&o.maxBackoff, time.Minute), "max-backoff", "but no longer than `DURATION`")
	f.StringArrayVar(&o.throttledOn, "throttled-on", nil, "if `WHAT`, the remote throttles: the key waits")
	f.StringVar(&o.preset, "preset", "", "what to run again, and when to slow down, for `TOOL`: aws, gh")
	f.IntVar(&o.maxThrottled, "max-throttled", 20, "run what was throttled again, up to `N` times")
	f.Var(newDuration(&o.maxCooldown, time.Hour), "max-cooldown", "wait for the remote no longer than `DURATION`")
	f.BoolVar(&o.adaptive, "adaptive", false, "cut the rate when throttled; it recovers by itself")
	f.Var(newDuration(&o.timeout, 0), "timeout", "end what runs for longer than `DURATION` (exit code 124)")
	o.given = func(flag string) bool { return givenHere(f, flag) }
}

// A reaction is what is to be done about attempts that fail.
type reaction struct {
	batch.Retry
	feedback pacer.Feedback
	preset   preset.Preset // the zero one where none is asked for
}

// reaction checks the flags.
func (o *retryOptions) reaction() (*reaction, error) {
	r := &reaction{Retry: batch.Retry{
		Attempts: o.attempts, Throttled: o.maxThrottled, MaxCooldown: o.maxCooldown,
		Backoff: feedback.Backoff{Base: o.backoff, Most: o.maxBackoff},
	}}
	r.feedback = pacer.Feedback{Backoff: o.backoff, Most: o.maxCooldown, Adaptive: o.adaptive}
	switch {
	case o.attempts < 1:
		return nil, fmt.Errorf("--attempts %d: it is how often a job is run in all, 1 or more", o.attempts)
	case o.maxThrottled < 0:
		return nil, fmt.Errorf("--max-throttled %d: it is 0 or more", o.maxThrottled)
	}
	if o.preset != "" {
		p, err := preset.Lookup(o.preset)
		if err != nil {
			return nil, fmt.Errorf("--preset: %w", err)
		}
		// A command of Windows has no files but its standard streams.
		r.preset, r.Rules, r.Headers = p, p.Rules(), len(p.Args) > 0 && runtime.GOOS != "windows"
	}
	var err error
	if r.Rules.RetryOn, err = conditions("--retry-on", r.Rules.RetryOn, o.retryOn); err != nil {
		return nil, err
	}
	if r.Rules.ThrottledOn, err = conditions("--throttled-on", r.Rules.ThrottledOn, o.throttledOn); err != nil {
		return nil, err
	}
	if r.Rules.Reads(feedback.Headers) && len(r.preset.Args) == 0 {
		return nil, errors.New("a condition headers=RE needs a preset of a tool that writes them down: --preset curl")
	}
	return r, o.idle(r)
}

// idle returns an error for a flag that was given and means nothing, as another one is missing.
func (o *retryOptions) idle(r *reaction) error {
	for _, f := range []struct {
		flag  string
		use   bool
		needs string
	}{
		{"retry-on", r.Attempts > 1, "--attempts N, 2 or more"},
		{"backoff", r.Judges(), "--attempts N, 2 or more, or --throttled-on"},
		{"max-backoff", r.Attempts > 1, "--attempts N, 2 or more"},
		{"max-throttled", len(r.Rules.ThrottledOn) > 0, "--throttled-on or --preset"},
		{"max-cooldown", r.Judges(), "--attempts N, 2 or more, or --throttled-on"},
		{"adaptive", len(r.Rules.ThrottledOn) > 0, "--throttled-on or --preset"},
	} {
		if !f.use && o.given(f.flag) {
			return fmt.Errorf("--%s does nothing without %s", f.flag, f.needs)
		}
	}
	return nil
}

// conditions appends those of a flag.
func conditions(flag string, to []feedback.Condition, texts []string) ([]feedback.Condition, error) {
	for _, text := range texts {
		c, err := feedback.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		to = append(to, c)
	}
	return to, nil
}

// command returns a command with what the preset adds to it.
func (r *reaction) command(argv []string) []string {
	if !r.preset.Applies(argv) {
		return argv
	}
	headers := ""
	if r.Headers {
		headers = "/dev/fd/" + strconv.Itoa(batch.HeadersFD)
	}
	return r.preset.Insert(argv, headers)
}

// A duration is a flag whose value is a duration, 0 or more.
type duration struct{ value *time.Duration }

func newDuration(d *time.Duration, value time.Duration) *duration {
	*d = value
	return &duration{d}
}

func (d *duration) String() string {
	if d.value == nil || *d.value == 0 {
		return ""
	}
	return d.value.String()
}

func (*duration) Type() string { return "duration" }

func (d *duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return errors.New("it is a duration such as 500ms, 10s or 2m")
	}
	*d.value = v
	return nil
}
