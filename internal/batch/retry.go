package batch

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/unnamed"
)

// Retry says which attempts of a task are followed by another one. The zero value: none.
type Retry struct {
	Rules feedback.Rules
	// Attempts is how many a task has at the most, those that were throttled not counted. 0 is 1.
	Attempts int
	// Throttled is how often a task is run again after it was throttled.
	Throttled int
	// Backoff is how long it waits before another attempt. One that was throttled waits for the limit instead.
	Backoff feedback.Backoff
	// MaxCooldown bounds what the remote may ask for. 0 is no bound.
	MaxCooldown time.Duration
	// Headers is whether commands write the headers of the HTTP responses that they get to descriptor HeadersFD.
	Headers bool
}

// HeadersFD is the file that commands write headers to.
const HeadersFD = 3

// Judges reports whether there may be a second attempt.
func (p *Retry) Judges() bool { return p.Attempts > 1 || len(p.Rules.ThrottledOn) > 0 }

// A Watch is what is seen of the output of an attempt. A nil one sees nothing.
type Watch struct {
	stdout, stderr *feedback.Window
	headers        *os.File
}

// Watch puts windows into the output of a command. It is nil if nothing depends on what they show.
func (p *Retry) Watch(c *job.Command) (*Watch, error) {
	if !p.Judges() {
		return nil, nil //nolint:nilnil // a nil Watch is a good one
	}
	w := &Watch{stderr: feedback.NewWindow(c.Stderr)}
	c.Stderr = w.stderr
	if p.Rules.Reads(feedback.Stdout) {
		w.stdout = feedback.NewWindow(c.Stdout)
		c.Stdout = w.stdout
	}
	if p.Headers {
		f, err := unnamed.New("")
		if err != nil {
			return nil, err
		}
		w.headers = f
		c.Extra = []*os.File{f}
	}
	return w, nil
}

// Close frees what it has open.
func (w *Watch) Close() {
	if w != nil && w.headers != nil {
		_ = w.headers.Close()
	}
}

// LastLine returns the last line of stderr that is not blank. What a carriage return goes back before, such as a meter, is
// no part of it.
func (w *Watch) LastLine() string {
	if w == nil {
		return ""
	}
	text := bytes.TrimSpace(w.stderr.Bytes())
	return string(bytes.TrimSpace(text[bytes.LastIndexAny(text, "\r\n")+1:]))
}

// Judge says what an attempt means.
func (p *Retry) Judge(o job.Outcome, w *Watch) feedback.Verdict {
	a := feedback.Attempt{ExitCode: o.ExitCode, Signal: o.Signal}
	if w == nil {
		if a.Failed() {
			return feedback.Verdict{Kind: feedback.Failed}
		}
		return feedback.Verdict{}
	}
	a.Stdout, a.Stderr = w.stdout, w.stderr
	if w.headers != nil {
		a.Headers = feedback.NewWindow(nil)
		if info, err := w.headers.Stat(); err == nil { // what can't be read shows nothing
			_, _ = io.Copy(a.Headers, io.NewSectionReader(w.headers, 0, info.Size()))
		}
	}
	return p.Rules.Judge(a, time.Now())
}

// Again reports whether a task is run again after so many attempts, the one that v is about included, and after how long.
func (p *Retry) Again(attempts, throttled int, v feedback.Verdict) (in time.Duration, ok bool) {
	switch v.Kind {
	case feedback.Throttled:
		return 0, throttled <= p.Throttled
	case feedback.Retry:
		if in = v.After; in == 0 {
			in = p.Backoff.Delay(attempts, rand.Int64N)
		} else if p.MaxCooldown > 0 {
			in = min(in, p.MaxCooldown)
		}
		return in, attempts < p.Attempts
	default:
		return 0, false
	}
}
