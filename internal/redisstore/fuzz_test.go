package redisstore

import (
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// What a server answers may be anything: no answer makes us panic, or takes a grant for one that is none.
func FuzzAnswer(f *testing.F) {
	state := pacer.NewSchedule(pacer.Per(3, time.Second).With(pacer.SlidingWindow), pacer.Every(time.Second))
	state.Take(1e18, 2)
	blob, _ := state.AppendBinary(nil) // the error is always nil
	f.Add("H", int64(1), "units 3/1s", string(blob), "1:2:ab:3:4:5:6", "0123456789abcdef")
	f.Add("g", int64(1_700_000_000), "", "", "", "")
	f.Add("W", int64(-1), "units 1/1s", "1:1:ab:1:1:1:1", "", "")
	f.Add("L", int64(7), "", "", "", "")
	v, err := Connect("redis://127.0.0.1:1", Options{Getenv: noEnv})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind string, n int64, names, text, member, run string) {
		s, err := v.Open("k", Options{Limits: pacer.Limits{pacer.Every(time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		s.closed = true // so that nothing is sent
		full := []any{n, n, int64(3), n, n, n, n, n, text, names, []any{member, member}, []any{"1:0", run, "1:1", run, int64(1)}, n, n}
		for _, reply := range [][]any{full, full[:3], {}, {n}, {n, n, names}, {n, n, n, n, n, member, names, n}, {text, nil, []any{nil}}, {nil, nil, nil}} {
			a := &answer{kind: kind, got: time.Now(), reply: reply}
			if st := s.stands(a); st.phase == granted && kind != "G" && kind != "g" {
				t.Errorf("%q is a grant", kind)
			}
			x, err := s.parse(&answer{kind: "H", got: time.Now(), reply: reply})
			if err != nil {
				continue
			}
			x.settle()
			_ = x.join()
			if len(x.waiting) > 0 {
				x.leave(0)
			}
			blob, err := x.alg.AppendBinary(nil)
			if err != nil {
				t.Error(err)
			}
			x.describe(blob)
			x.appendRuns(nil)
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add("1:2:ab:3:4:5:6")
	f.Fuzz(func(t *testing.T, member string) {
		if e, ok := parseEntry(member); ok && e.cost <= 0 {
			t.Errorf("%q costs %d", member, e.cost)
		}
	})
}
