package cmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// blockedAsJSON prints that there is no grant, as JSON if that is asked for, where err says that the limit is blocked; it returns err.
func blockedAsJSON(err error, asked bool, std streams) error {
	if blocked := (*blockedError)(nil); asked && errors.As(err, &blocked) {
		return cmp.Or(printGrant(grant{Blocked: true, Retry: -1}, std), err)
	}
	return err
}

// printGrant prints a grant as a line of JSON. Times are in seconds, and exact.
func printGrant(g grant, std streams) error {
	out := struct {
		Key     string      `json:"key,omitempty"`
		Granted bool        `json:"granted"`
		Blocked bool        `json:"blocked,omitempty"`           // by limit = 0 in throttle.toml
		Slot    string      `json:"slot,omitempty"`              // on the wall clock
		OnBoot  json.Number `json:"slot_since_boot_s,omitempty"` // the same in seconds since the host was booted
		Since   json.Number `json:"slot_since_1970_s,omitempty"` // or since 1970, on the clock of a server
		Waited  json.Number `json:"waited_s"`                    //
		Retry   json.Number `json:"retry_after_s,omitempty"`     // where it is not granted
		// Of the limit of which the least is left, and of all of them.
		Limit     string      `json:"limit,omitempty"`
		Remaining *int64      `json:"remaining,omitempty"`
		Reset     json.Number `json:"reset_s,omitempty"` // until there is more
		Limits    []jsonUsage `json:"limits"`
	}{Limits: usageJSON(g.Usage, g.Bytes), Key: g.Key, Granted: g.Granted, Blocked: g.Blocked, Waited: seconds(g.Waited)}
	if !g.Slot.IsZero() {
		out.Slot = g.Slot.Format(timeFormat)
	}
	switch {
	case g.Granted && g.OnBoot > 0:
		out.OnBoot = seconds(g.OnBoot)
	case g.Granted && g.Since > 0:
		out.Since = seconds(g.Since)
	case !g.Granted && g.Retry >= 0:
		out.Retry = seconds(g.Retry)
	}
	if u, ok := tightest(g.Usage); ok {
		out.Limit, out.Remaining, out.Reset = u.Limit.String(), &u.Remaining, seconds(u.Reset)
	}
	return json.NewEncoder(std.out).Encode(out)
}

// writeHeaders writes what is left of the limits as fields of an HTTP response, as draft-ietf-httpapi-ratelimit-headers-10 has
// them: q is how many may be granted at once, w in how many seconds as many come again, r how many are left and t in how
// many seconds there are more. Seconds are rounded up: who waits for so long is not early.
func writeHeaders(w io.Writer, g grant) error {
	var policy, state []string
	for _, u := range g.Usage {
		if u.Quota == 0 { // no limit
			continue
		}
		name := strconv.Quote(u.Limit.String())
		policy = append(policy, fmt.Sprintf("%s;q=%d;w=%d", name, u.Quota, max(wholeSeconds(refill(u)), 1)))
		state = append(state, fmt.Sprintf("%s;r=%d;t=%d", name, u.Remaining, wholeSeconds(u.Reset)))
	}
	var b strings.Builder
	if len(policy) > 0 {
		fmt.Fprintf(&b, "RateLimit-Policy: %s\nRateLimit: %s\n", strings.Join(policy, ", "), strings.Join(state, ", "))
	}
	if !g.Granted && g.Retry >= 0 {
		fmt.Fprintf(&b, "Retry-After: %d\n", max(wholeSeconds(g.Retry), 1))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// refill returns how long it takes until all of a quota that is used up is there again: the period of a window, and as long as
// a burst takes.
func refill(u pacer.Usage) time.Duration {
	if u.Limit.Algorithm.IsWindow() {
		return u.Limit.Per
	}
	return time.Duration(float64(u.Limit.Per) / float64(max(u.Limit.Events, 1)) * float64(u.Quota))
}

func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// tightest returns the usage that ends first: the one with the least left, and of those the one where more comes last.
func tightest(usage []pacer.Usage) (u pacer.Usage, ok bool) {
	limited := slices.DeleteFunc(slices.Clone(usage), func(u pacer.Usage) bool { return u.Quota == 0 })
	if len(limited) == 0 {
		return u, false
	}
	return slices.MinFunc(limited, func(a, b pacer.Usage) int {
		return cmp.Or(cmp.Compare(a.Remaining, b.Remaining), cmp.Compare(b.Reset, a.Reset))
	}), true
}
