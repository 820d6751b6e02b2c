package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// statusOptions are those of the command that shows how keys stand.
type statusOptions struct {
	state string
	json  bool
	watch bool
	prune bool
}

func newStatusCommand(std streams) *cobra.Command {
	o := &statusOptions{}
	c := &cobra.Command{
		Use:   "status [NAME]...",
		Short: "Show keys, their rates, and who waits",
		Long: `Shows for each key its limit and what is in force of it, how many grants there
were, when the next slot is, whether there is a cooldown and until when, and who
waits for how long. It takes no lock and waits for nobody.`,
		Example: `  throttle status
  throttle status --watch ec2
  throttle status --json | jq '.[] | select(.waiting != [])'`,
		RunE: func(c *cobra.Command, keys []string) error {
			if (len(keys) > 0 || o.prune) && !givenHere(c.Flags(), "state") {
				o.state = "" // the environment names one for those who name none
			}
			return runStatus(c.Context(), o, keys, std)
		},
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) {
		f.BoolVar(&o.json, "json", false, "print JSON")
		f.BoolVarP(&o.watch, "watch", "w", false, "show it again each second, until interrupted")
		f.BoolVar(&o.prune, "prune", false, "remove the state of keys not used for a day")
		f.StringVar(&o.state, "state", "", "show the state file `FILE`")
	}))
	return c
}

const (
	watchEvery = time.Second
	// unusedFor is how long a key must not have been used to be pruned. Its bucket must be full too.
	unusedFor  = 24 * time.Hour
	timeFormat = "2006-01-02T15:04:05.000000000Z07:00"
	clearLines = "\x1b[H\x1b[J" // to the first line, and all below it
)

func runStatus(ctx context.Context, o *statusOptions, keys []string, std streams) error {
	if o.prune {
		if len(keys) > 0 || o.state != "" || o.watch || o.json {
			return errors.New("--prune goes alone")
		}
		return runPrune(std)
	}
	if o.state != "" && len(keys) > 0 {
		return errors.New("--state and the name of a key do not go together")
	}
	sig := catch(ctx)
	defer sig.stop()
	out, isFile := std.out.(*os.File)
	terminal := isFile && isTerminal(out)
	for {
		all, err := o.read(keys)
		if err != nil {
			return err
		}
		var b strings.Builder
		switch {
		case o.json:
			err = writeStatusJSON(&b, all, time.Now())
		default:
			if o.watch && terminal {
				b.WriteString(clearLines)
			}
			writeStatus(&b, all, time.Now())
		}
		if err == nil {
			_, err = io.WriteString(std.out, b.String())
		}
		if err != nil {
			return err
		}
		if !o.watch {
			if slices.ContainsFunc(all, func(s keyStatus) bool { return s.err != nil }) {
				return exitCode(codeFailed) // the table says why
			}
			return nil
		}
		select {
		case <-time.After(watchEvery):
		case <-sig.ctx.Done():
			return exitCode(codeOf(context.Cause(sig.ctx)))
		}
	}
}

func runPrune(std streams) error {
	dir, err := lockfile.DefaultDir(os.Getenv)
	if err != nil {
		return err
	}
	keys, err := lockfile.Prune(dir, unusedFor)
	for _, key := range keys {
		fmt.Fprintf(std.err, "throttle: removed the state of key %q\n", key)
	}
	return err
}

// A keyStatus is how a key stands, or why that is not known.
type keyStatus struct {
	lockfile.Status
	err error
}

// read reads the state of the keys that are named, or of all.
func (o *statusOptions) read(keys []string) ([]keyStatus, error) {
	if o.state != "" {
		s, err := lockfile.Read(o.state)
		return []keyStatus{{Status: s}}, err
	}
	dir, err := lockfile.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	var all []keyStatus
	for _, key := range keys {
		s, err := lockfile.Read(lockfile.PathOf(dir, key))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no state of key %q in %s", key, dir)
		}
		s.Key, s.Path = key, lockfile.PathOf(dir, key)
		all = append(all, keyStatus{s, err})
	}
	if len(keys) > 0 {
		return all, nil
	}
	paths, err := lockfile.List(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		s, err := lockfile.Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed meanwhile
		}
		s.Path = path
		all = append(all, keyStatus{s, err})
	}
	slices.SortStableFunc(all, func(a, b keyStatus) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// writeStatus writes a table: a line for each key, and under it those who wait.
func writeStatus(b *strings.Builder, all []keyStatus, now time.Time) {
	if len(all) == 0 {
		b.WriteString("no key has been used here\n")
		return
	}
	const shown = 20 // of those who wait
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "KEY\tLIMIT\tGRANTS\tWAITING\tNEXT SLOT\tLAST GRANT") //nolint:errcheck // a Builder does not fail
	for _, s := range all {
		if s.err != nil {
			fmt.Fprintf(w, "%s\t%v\n", printable(s.Key, s.Path), s.err) //nolint:errcheck // likewise
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
			if len(s.Usage) > 1 || !isBucket(u.Limit.Algorithm) {
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
func limitOf(s keyStatus) string {
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

// Types of the JSON output. Times are those of the wall clock.
type (
	jsonStatus struct {
		Key     string       `json:"key"`
		Path    string       `json:"path"`
		Limit   *jsonLimit   `json:"limit"`     // of several that with the lowest rate; null where none is stored
		Limits  []jsonUsage  `json:"limits"`    // all of them
		Now     *jsonLimit   `json:"effective"` // what is in force of it: less, where feedback has cut it
		Until   *string      `json:"cooldown"`  // when it ends; null where there is none
		Left    json.Number  `json:"cooldown_left_s"`
		Paused  bool         `json:"paused"`
		Events  uint64       `json:"throttled"` // how often the remote has throttled
		Grants  uint64       `json:"grants"`
		Last    *string      `json:"last"`    // the slot of the last grant
		Next    *string      `json:"next"`    // the slot of one who would ask now; null where there is none
		Waiting []jsonWaiter `json:"waiting"` // in order
		Damage  string       `json:"damage,omitempty"`
		Error   string       `json:"error,omitempty"`
	}
	jsonLimit struct {
		Text      string      `json:"text"`
		Events    int64       `json:"events"`
		Per       json.Number `json:"per_s"` // 0: no limit
		Algorithm string      `json:"algorithm"`
		Burst     int64       `json:"burst,omitempty"` // of a bucket
		Unit      string      `json:"unit"`            // "events" or "bytes"
	}
	jsonUsage struct {
		jsonLimit
		Quota     *int64      `json:"quota"`     // what can be granted at once; null: any number
		Remaining *int64      `json:"remaining"` // of that, now; likewise
		Reset     json.Number `json:"reset_s"`   // until there is more than that
	}
	jsonWaiter struct {
		PID   int     `json:"pid"`
		Cost  int     `json:"cost"`
		Since string  `json:"since"`
		Slot  *string `json:"slot"`
	}
)

func writeStatusJSON(b *strings.Builder, all []keyStatus, now time.Time) error {
	out := []jsonStatus{}
	for _, s := range all {
		j := jsonStatus{
			Key: s.Key, Path: s.Path, Until: jsonTime(s.Cooldown), Left: seconds(max(s.Cooldown.Sub(now), 0)), Paused: s.Paused, Events: s.Throttled,
			Grants: s.Grants, Last: jsonTime(s.Last), Next: jsonTime(s.Next), Damage: s.Damage, Waiting: []jsonWaiter{},
		}
		if s.err != nil {
			j.Error = s.err.Error()
		}
		if s.Limited {
			j.Limit, j.Now = newJSONLimit(s.Limit, s.Bytes), newJSONLimit(s.Effective, s.Bytes)
		}
		j.Limits = usageJSON(s.Usage, s.Bytes)
		for _, w := range s.Waiting {
			j.Waiting = append(j.Waiting, jsonWaiter{PID: w.PID, Cost: w.Cost, Since: *jsonTime(w.Since), Slot: jsonTime(w.Slot)})
		}
		out = append(out, j)
	}
	return writeJSON(b, out)
}

// writeJSON writes a value for programs that a person may read, too.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // a & in a key is a &
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newJSONLimit(l pacer.Limit, bytes bool) *jsonLimit {
	j := &jsonLimit{Text: l.String(), Events: l.Events, Per: seconds(l.Per), Algorithm: l.Algorithm.String(), Unit: "events"}
	switch {
	case l.Algorithm == pacer.TokenBucket && l.Burst == 0:
		j.Burst = l.Events
	case isBucket(l.Algorithm):
		j.Burst = max(l.Burst, 1)
	}
	if bytes {
		j.Unit = "bytes"
	}
	return j
}

func usageJSON(usage []pacer.Usage, bytes bool) []jsonUsage {
	all := []jsonUsage{}
	for _, u := range usage {
		j := jsonUsage{jsonLimit: *newJSONLimit(u.Limit, bytes), Reset: seconds(u.Reset)}
		if u.Quota > 0 {
			j.Quota, j.Remaining = &u.Quota, &u.Remaining
		}
		all = append(all, j)
	}
	return all
}

func jsonTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.Format(timeFormat)
	return &s
}

// seconds returns a duration in seconds, exact to the nanosecond.
func seconds(d time.Duration) json.Number {
	return json.Number(fmt.Sprintf("%d.%09d", d/time.Second, d%time.Second))
}
