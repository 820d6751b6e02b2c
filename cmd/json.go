package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// timeFormat is that of times in JSON, which are those of the wall clock.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// A jsonLimit is a limit in JSON.
type jsonLimit struct {
	Text      string      `json:"text"`
	Events    int64       `json:"events"`
	Per       json.Number `json:"per_s"` // 0: no limit
	Algorithm string      `json:"algorithm"`
	Burst     int64       `json:"burst,omitempty"` // of a bucket
	Unit      string      `json:"unit"`            // "events" or "bytes"
}

// A jsonUsage is a limit with what is left of it.
type jsonUsage struct {
	jsonLimit
	Quota     *int64      `json:"quota"`     // what can be granted at once; null: any number
	Remaining *int64      `json:"remaining"` // of that, now; likewise
	Reset     json.Number `json:"reset_s"`   // until there is more than that
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
	case !l.Algorithm.IsWindow():
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
	sign := ""
	if d < 0 {
		sign, d = "-", -max(d, -math.MaxInt64)
	}
	return json.Number(fmt.Sprintf("%s%d.%09d", sign, d/time.Second, d%time.Second))
}
