package cmd

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/internal/store"
)

// A jsonStatus is how a key stands, in JSON.
type jsonStatus struct {
	Key     string       `json:"key"`
	Path    string       `json:"path,omitempty"`  // of its file
	Store   string       `json:"store,omitempty"` // or of its server
	Limit   *jsonLimit   `json:"limit"`           // of several that with the lowest rate; null where none is stored
	Limits  []jsonUsage  `json:"limits"`          // all of them
	Now     *jsonLimit   `json:"effective"`       // what is in force of it: less, where feedback has cut it
	Until   *string      `json:"cooldown"`        // when it ends; null where there is none
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

// A jsonWaiter is one who waits.
type jsonWaiter struct {
	PID   int     `json:"pid"`
	Cost  int     `json:"cost"`
	Since string  `json:"since"`
	Slot  *string `json:"slot"`
}

func writeStatusJSON(b *strings.Builder, all []store.State, now time.Time) error {
	out := []jsonStatus{}
	for _, s := range all {
		j := jsonStatus{
			Key: s.Key, Path: s.Path, Store: s.Server, Until: jsonTime(s.Cooldown), Left: seconds(max(s.Cooldown.Sub(now), 0)), Paused: s.Paused, Events: s.Throttled,
			Grants: s.Grants, Last: jsonTime(s.Last), Next: jsonTime(s.Next), Damage: s.Damage, Waiting: []jsonWaiter{},
		}
		if s.Err != nil {
			j.Error = s.Err.Error()
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
