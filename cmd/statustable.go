package cmd

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// writeStatus writes a table: a line for each key, and under it those who wait.
func writeStatus(b *strings.Builder, all []store.State, now time.Time) {
	if len(all) == 0 {
		b.WriteString("no key has been used here\n")
		return
	}
	const shown = 20 // of those who wait
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "KEY\tLIMIT\tGRANTS\tWAITING\tNEXT SLOT\tLAST GRANT") //nolint:errcheck // a Builder does not fail
	for _, s := range all {
		if s.Err != nil {
			fmt.Fprintf(w, "%s\t%v\n", printable(s.Key, s.Path), s.Err) //nolint:errcheck // likewise
			continue
		}
		slot := func(t time.Time) string {
			if s.Paused {
				return "paused"
			}
			return in(t, now)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", printable(s.Key, s.Path), limitOf(s), s.Grants, len(s.Waiting), slot(s.Next), ago(s.Last, now)) //nolint:errcheck // likewise
		for _, u := range s.Usage {
			if len(s.Usage) > 1 || u.Limit.Algorithm.IsWindow() {
				fmt.Fprintf(w, "  %s\t%s\t\t\t\t\n", u.Limit, left(u)) //nolint:errcheck // likewise
			}
		}
		if s.Throttled > 0 {
			fmt.Fprintf(w, "  throttled\t%s\t\t\t\t\n", times(s.Throttled)) //nolint:errcheck // likewise
		}
		if s.Cooldown.After(now) {
			fmt.Fprintf(w, "  cooldown\tuntil %s\t\t\t%s\t\n", s.Cooldown.Format(clockFormat(s.Cooldown, now)), in(s.Cooldown, now)) //nolint:errcheck // likewise
		}
		for i, p := range s.Waiting {
			if i == shown {
				fmt.Fprintf(w, "  and %d more\t\t\t\t\t\n", len(s.Waiting)-shown) //nolint:errcheck // likewise
				break
			}
			cost := ""
			if p.Cost > 1 {
				cost = fmt.Sprintf(", %d units", p.Cost)
			}
			fmt.Fprintf(w, "  pid %d%s\t\t\tsince %s\t%s\t\n", p.PID, cost, ago(p.Since, now), slot(p.Slot)) //nolint:errcheck // likewise
		}
		if s.Damage != "" {
			fmt.Fprintf(w, "  damaged: %s\t\t\t\t\t\n", s.Damage) //nolint:errcheck // likewise
		}
	}
	_ = w.Flush()
}

// limitOf returns a limit as it may be shown, with what is in force of it where that is less.
func limitOf(s store.State) string {
	if !s.Limited {
		return "none"
	}
	limit := s.Limits.String()
	if s.Bytes {
		limit = "bytes " + limit
	}
	if !s.Effective.Equal(s.Limit) {
		limit += ", now " + rateOf(s.Effective)
	}
	return limit
}

// left says how much is left of a limit.
func left(u pacer.Usage) string {
	if u.Quota == 0 {
		return "any number left"
	}
	s := fmt.Sprintf("%d of %d left", u.Remaining, u.Quota)
	if u.Reset > 0 {
		s += ", more in " + round(u.Reset).String()
	}
	return s
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// printable returns a key as it may be shown on a terminal, or the path where there is none.
func printable(key, path string) string {
	if key == "" {
		return path
	}
	if q := strconv.Quote(key); q != `"`+key+`"` || strings.ContainsAny(key, " ") {
		return q
	}
	return key
}

func in(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case !t.After(now):
		return "now"
	}
	return "in " + round(t.Sub(now)).String()
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return round(max(now.Sub(t), 0)).String() + " ago"
}
