package batch

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Halt says when a batch ends early, as --halt of GNU parallel does. The zero value never ends it.
type Halt struct {
	// Now is whether jobs that run are ended too.
	Now bool
	// Why is which jobs count: "fail", "success" or "done"; "" is none.
	Why string
	// N is how many of them it takes, or 0 if it takes Percent.
	N int
	// Percent is how many of all jobs it takes, or, as long as nobody knows how many those are, of those that have ended,
	// and then at least leastOfUnknown.
	Percent float64
}

// leastOfUnknown is how many it takes at the least where the number of all is not known: one of two is half of them.
const leastOfUnknown = 3

// ParseHalt parses WHEN,WHY=N or WHEN,WHY=N%, or never.
func ParseHalt(s string) (h Halt, err error) {
	fail := func(what string) (Halt, error) {
		return Halt{}, fmt.Errorf("%q: %s: it is now|soon,fail|success|done=N or N%%, such as now,fail=1 or soon,fail=10%%, or never", s, what)
	}
	if s == "never" {
		return Halt{}, nil
	}
	when, rest, _ := strings.Cut(s, ",")
	switch when {
	case "now":
		h.Now = true
	case "soon":
	default:
		return fail(fmt.Sprintf("when is %q", when))
	}
	why, count, _ := strings.Cut(rest, "=")
	switch why {
	case "fail", "success", "done":
		h.Why = why
	default:
		return fail(fmt.Sprintf("why is %q", why))
	}
	if number, ok := strings.CutSuffix(count, "%"); ok {
		h.Percent, err = strconv.ParseFloat(number, 64)
		if err != nil || !(h.Percent > 0 && h.Percent <= 100) {
			return fail(fmt.Sprintf("the percentage is %q", count))
		}
		return h, nil
	}
	h.N, err = strconv.Atoi(count)
	if err != nil || h.N < 1 {
		return fail(fmt.Sprintf("the number is %q", count))
	}
	return h, nil
}

func (h Halt) String() string {
	when, count := "soon", strconv.Itoa(h.N)
	if h.Now {
		when = "now"
	}
	if h.N == 0 {
		count = strconv.FormatFloat(h.Percent, 'g', -1, 64) + "%"
	}
	return fmt.Sprintf("%s,%s=%s", when, h.Why, count)
}

// met reports whether that many jobs that have failed and succeeded are enough. total is the number of all, or negative
// if it is not known.
func (h Halt) met(failed, succeeded, total int) bool {
	n, ended := 0, failed+succeeded
	switch h.Why {
	case "":
		return false
	case "fail":
		n = failed
	case "success":
		n = succeeded
	case "done":
		n = ended
	}
	switch {
	case h.N > 0:
		return n >= h.N
	case total >= 0:
		return n > 0 && n >= int(math.Ceil(h.Percent/100*float64(total)))
	case h.Why == "done": // all that have ended have
		return false
	}
	return n >= leastOfUnknown && float64(n) >= h.Percent/100*float64(ended)
}

// A HaltError says that a batch was ended early, by its Halt.
type HaltError struct {
	Halt Halt
	// Failed and Succeeded are how many jobs had when it was met.
	Failed, Succeeded int
}

func (e *HaltError) Error() string {
	return fmt.Sprintf("halted by --halt %v: %d failed, %d succeeded", e.Halt, e.Failed, e.Succeeded)
}
