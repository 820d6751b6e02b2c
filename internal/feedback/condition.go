package feedback

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// A Stream is something that an attempt wrote.
type Stream int

// The streams.
const (
	Stdout Stream = iota
	Stderr
	Headers // of the HTTP responses that the command got
)

func (s Stream) String() string { return [...]string{"stdout", "stderr", "headers"}[s] }

// A Condition is something that the outcome or the output of an attempt can meet. It may be used by several goroutines.
type Condition struct {
	kind    conditionKind
	codes   []codeRange      // of kind ofExit: one of them
	signals []syscall.Signal // of kind ofSignal: one of them; none is any
	stream  Stream           // of kind ofStream
	pattern string
	re      func() *regexp.Regexp
	failed  bool // whether the attempt must have failed too
}

type conditionKind int

const (
	ofExit conditionKind = iota
	ofSignal
	ofStream
)

type codeRange struct{ first, last int }

const accepted = "it is exit=LIST such as exit=1,10-20 or exit=1- (any failure), stdout=RE, stderr=RE, headers=RE, signal, or signal=LIST such as signal=TERM,KILL"

// Parse parses a condition:
//
//	exit=LIST     the exit code is in the list: 1, 10-20, or 5- for 5 and above; 1- is any failure. It's the code that
//	              throttle would report, so 128+n if signal n ended the command. 0 is none of them: each command that
//	              succeeds would meet it, and count as failed. Which of those have failed, their output says.
//	stdout=RE     what it wrote matches the regular expression: one of Go's, in which ^ and $ are the start and
//	stderr=RE     the end of a line (flag m), and \A and \z those of the whole. It's matched against the first and
//	              the last 64 KiB.
//	headers=RE    the same for the status line and the headers of the last HTTP response, with LF for line ends.
//	signal        a signal ended the command.
//	signal=LIST   one of these did: names, with or without SIG, or numbers. A signal that ended a command inside a
//	              script is an exit code of the script.
func Parse(s string) (Condition, error) {
	c, err := parse(s)
	if err != nil || c.kind != ofStream {
		return c, err
	}
	if _, err := syntax.Parse(c.pattern, syntax.Perl); err != nil {
		return c, fmt.Errorf("condition %q: %w", s, err) // it says what is wrong, and quotes it
	}
	c.re() // now, and not when the first attempt has ended
	return c, nil
}

// Known is Parse for a condition that is known to be good, such as one of a preset. A regular expression takes time: it is
// compiled when it's first needed. It panics if the condition is bad after all, at the latest then.
func Known(s string) Condition {
	c, err := parse(s)
	if err != nil {
		panic(err)
	}
	return c
}

func parse(s string) (Condition, error) {
	c := Condition{}
	name, value, given := strings.Cut(s, "=")
	var err error
	switch name {
	case "exit":
		c.codes, err = parseCodes(value)
	case "signal":
		c.kind = ofSignal
		if given {
			c.signals, err = parseSignals(value)
		}
	case "stdout", "stderr", "headers":
		c.kind, c.stream = ofStream, map[string]Stream{"stdout": Stdout, "stderr": Stderr, "headers": Headers}[name]
		if value == "" {
			err = fmt.Errorf("there is no regular expression after %q", s)
			break
		}
		c.pattern = value
		c.re = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("(?m)" + value) })
	default:
		err = fmt.Errorf("there is no %q", name)
	}
	if err != nil {
		return c, fmt.Errorf("condition %q: %w\n%s", s, err, accepted)
	}
	return c, nil
}

func parseCodes(list string) ([]codeRange, error) {
	var codes []codeRange
	for field := range strings.SplitSeq(list, ",") {
		field = strings.TrimSpace(field)
		from, to, isRange := strings.Cut(field, "-")
		first, err := parseCode(from)
		last := first
		if err == nil && isRange {
			last = math.MaxInt
			if to != "" {
				last, err = parseCode(to)
			}
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is no exit code", field)
		case first == 0:
			return nil, fmt.Errorf("%q has exit code 0, which is success: say what the output has, by stdout=RE or stderr=RE", field)
		case first > maxCode || isRange && to != "" && last > maxCode:
			return nil, fmt.Errorf("%q is no exit code: they are 1 to %d", field, uint32(maxCode))
		case last < first:
			return nil, fmt.Errorf("the exit codes %q go downwards", field)
		}
		codes = append(codes, codeRange{first, last})
	}
	return codes, nil
}

func parseCode(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt, nil // for the one who knows what the highest is
	}
	return int(n), err
}

func parseSignals(list string) ([]syscall.Signal, error) {
	var signals []syscall.Signal
	for field := range strings.SplitSeq(list, ",") {
		field = strings.TrimSpace(field)
		if n, err := strconv.ParseUint(field, 10, 7); err == nil && n > 0 {
			signals = append(signals, syscall.Signal(n))
			continue
		}
		sig := signalNumber("SIG" + strings.TrimPrefix(strings.ToUpper(field), "SIG"))
		if sig == 0 {
			return nil, fmt.Errorf("unknown signal %q", field)
		}
		signals = append(signals, sig)
	}
	return signals, nil
}

// OfFailures returns the condition that matches only where the attempt has failed too.
func (c Condition) OfFailures() Condition {
	c.failed = true
	return c
}

// Match reports whether the attempt meets the condition, and by what, for a message: exit 75, signal TERM,
// stderr has "HTTP 429".
func (c Condition) Match(a Attempt) (what string, ok bool) {
	if c.failed && !a.Failed() {
		return "", false
	}
	switch c.kind {
	case ofExit:
		for _, r := range c.codes {
			if r.first <= a.ExitCode && a.ExitCode <= r.last {
				return ended(a), true
			}
		}
	case ofSignal:
		if a.Signal == 0 {
			return "", false
		}
		for _, sig := range c.signals {
			if sig == a.Signal {
				return ended(a), true
			}
		}
		return ended(a), len(c.signals) == 0
	case ofStream:
		text := a.window(c.stream).Bytes()
		if c.stream == Headers {
			text = lastResponse(text)
		}
		if at := c.re().FindIndex(text); at != nil {
			return c.has(text[at[0]:at[1]]), true
		}
	}
	return "", false
}

func (a Attempt) window(s Stream) *Window {
	return [...]*Window{Stdout: a.Stdout, Stderr: a.Stderr, Headers: a.Headers}[s]
}

// ended says how the command ended.
func ended(a Attempt) string {
	if a.Signal != 0 {
		return "signal " + signalName(a.Signal)
	}
	return "exit " + strconv.Itoa(a.ExitCode)
}

// shown is how much of the output is repeated in a message.
const shown = 100

// has says what the stream has: the first line of the match, or the regular expression if that is empty.
func (c Condition) has(match []byte) string {
	match, _, _ = bytes.Cut(bytes.TrimSpace(match), []byte("\n"))
	if len(match) == 0 {
		return fmt.Sprintf("%s matches %q", c.stream, c.pattern)
	}
	if len(match) > shown {
		return fmt.Sprintf("%s has %q...", c.stream, match[:shown])
	}
	return fmt.Sprintf("%s has %q", c.stream, match)
}
