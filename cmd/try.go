package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/pacer"
)

// tryOptions are those of the command that takes a grant if there is one now.
type tryOptions struct {
	grantOptions
	json    bool
	headers bool
}

func newTryCommand(std streams) *cobra.Command {
	o := &tryOptions{}
	o.noWait = true
	c := &cobra.Command{
		Use:   "try [--key NAME] [--rate RATE] [flags]",
		Short: "Take a grant of a shared rate if there is one now",
		Long: `Takes a grant if it is due now and nobody waits, and exits with 0. If not it
exits with 75 (or -E), takes nothing, and says when there will be one. What is left of
the limits is printed for those who have to answer somebody else.`,
		Example: `  throttle try --key login:alice --rate 5/m --json || exit
  throttle try --key login:alice --rate 5/m --headers    for an answer with status 429`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.pace.apply(c.Flags(), std); err != nil {
				return blockedAsJSON(err, o.json, std)
			}
			return runTry(c.Context(), o, std)
		},
	}
	addGroups(c,
		newGroup("Rate", o.pace.addFlags, func(f *pflag.FlagSet) { o.pace.addCostFlags(f, "n") }),
		newGroup("Grant", o.addCodeFlag, func(f *pflag.FlagSet) {
			f.BoolVar(&o.json, "json", false, "print the grant or the refusal, and what is left, as JSON")
			f.BoolVar(&o.headers, "headers", false, "print them as fields of HTTP: RateLimit, Retry-After")
		}),
	)
	return c
}

func runTry(ctx context.Context, o *tryOptions, std streams) error {
	if o.json && o.headers {
		return errConflict("--json", "--headers")
	}
	o.usage = o.json || o.headers
	sig := catch(ctx)
	defer sig.stop()
	g, err := o.take(sig.ctx, std)
	if err != nil {
		return interrupted(err)
	}
	switch {
	case o.json:
		err = printGrant(g, std)
	case o.headers:
		err = writeHeaders(std.out, g)
	}
	switch {
	case err != nil:
		return err
	case !g.Granted:
		return o.refused(g, std)
	}
	return nil
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
	if !isBucket(u.Limit.Algorithm) {
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
