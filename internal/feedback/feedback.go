// Package feedback says what the outcome and the output of an attempt mean: whether it succeeded, whether another attempt
// is worth it, whether the remote throttles us, and for how long it asks us to wait. It runs nothing and waits for nothing.
package feedback

import (
	"syscall"
	"time"
)

// An Attempt is what is known of an attempt that has ended. A command that could not be started has made none.
type Attempt struct {
	// ExitCode is the command's own, or 128+n if signal n ended it.
	ExitCode int
	// Signal that ended it, or 0.
	Signal syscall.Signal
	// What it wrote, and the headers of the HTTP responses that it got, where the command was asked to write them down.
	// Nil is nothing.
	Stdout, Stderr, Headers *Window
}

// Failed reports whether the command did not end with exit code 0.
func (a Attempt) Failed() bool { return a.ExitCode != 0 || a.Signal != 0 }

// Rules say which attempts are throttled, and which are worth another one. The zero value has nothing for throttled.
// Rules may be used by several goroutines.
type Rules struct {
	// ThrottledOn has the conditions of which one must match for the remote to be throttling us.
	ThrottledOn []Condition
	// RetryOn has the conditions of which one must match for another attempt to be worth it. None: any failure is.
	RetryOn []Condition
}

// A Kind is what an attempt came to.
type Kind int

// The kinds.
const (
	Succeeded Kind = iota
	Failed         // for good: another attempt is not worth it
	Retry          // another attempt is worth it
	Throttled      // the remote wants fewer calls; the command is to be run again later
)

func (k Kind) String() string {
	return [...]string{"succeeded", "failed", "retry", "throttled"}[k]
}

// A Verdict is what an attempt means.
type Verdict struct {
	Kind Kind
	// After is how long from now the remote asks us to wait, at most MaxWait, for kinds Retry and Throttled. 0: it does not say.
	After time.Duration
	// Why is the condition that matched, with what it matched, for a message: stderr has "HTTP 429". It's empty where
	// there was none.
	Why string
}

// Judge says what an attempt means. Throttled goes before Retry, and both before the exit code: a command may exit with 0
// although a condition matches.
func (r Rules) Judge(a Attempt, now time.Time) Verdict {
	for _, c := range r.ThrottledOn {
		if why, ok := c.Match(a); ok {
			return Verdict{Kind: Throttled, After: a.wait(now, true), Why: why}
		}
	}
	for _, c := range r.RetryOn {
		if why, ok := c.Match(a); ok {
			return Verdict{Kind: Retry, After: a.wait(now, false), Why: why}
		}
	}
	switch {
	case !a.Failed():
		return Verdict{Kind: Succeeded}
	case len(r.RetryOn) == 0:
		return Verdict{Kind: Retry, After: a.wait(now, false)}
	}
	return Verdict{Kind: Failed}
}

// wait is how long the remote asks us to wait. What its headers say goes before any text. Only where we are throttled does
// the reset of a quota count: a server may send that with every response.
func (a Attempt) wait(now time.Time, resets bool) time.Duration {
	if d, ok := headersWait(lastResponse(a.Headers.Bytes()), now, resets); ok {
		return d
	}
	var most time.Duration
	for _, w := range []*Window{a.Stderr, a.Stdout} {
		d, _ := textWait(w.Bytes(), now, resets)
		most = max(most, d)
	}
	return most
}

// Reads reports whether a condition looks at the stream: if none does, its window is of use only to find out for how long
// the remote asks us to wait.
func (r Rules) Reads(s Stream) bool {
	for _, cs := range [][]Condition{r.ThrottledOn, r.RetryOn} {
		for _, c := range cs {
			if c.kind == ofStream && c.stream == s {
				return true
			}
		}
	}
	return false
}
