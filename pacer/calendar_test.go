package pacer_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/throttle-cli/throttle/pacer"
)

// windows grants one unit in each of so many windows of the calendar, from an instant on, and returns when they begin.
func windows(t *testing.T, from time.Time, n int, a pacer.Align, zone string, per time.Duration) (at []time.Time) {
	t.Helper()
	l := pacer.Per(1, per).Aligned(a, zone)
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	sch := pacer.NewSchedule(l)
	sch.SetWall(from.UnixNano())
	now := int64(0)
	for range n + 1 {
		sch.Take(now, 1)
		now, _ = sch.Last()
		at = append(at, from.Add(time.Duration(now)))
	}
	return at[1:]
}

func TestWindowsOfTheCalendar(t *testing.T) {
	for _, c := range []struct {
		from  string
		align pacer.Align
		zone  string
		per   time.Duration
		want  []string // in UTC
	}{
		{"2026-11-25T12:00:00Z", pacer.AtDay, "", 24 * h, []string{"2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"}},
		{"2026-11-25T12:30:10.5Z", pacer.AtMinute, "UTC", time.Minute, []string{"2026-11-25T12:31:00Z", "2026-11-25T12:32:00Z"}},
		{"2026-11-25T12:30:10.5Z", pacer.AtHour, "Asia/Kolkata", h, []string{"2026-11-25T13:30:00Z", "2026-11-25T14:30:00Z"}}, // it is 18:00 there
		{"2026-11-25T12:00:00Z", pacer.AtWeek, "", 7 * 24 * h, []string{"2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"}},
		{"2026-01-31T12:00:00Z", pacer.AtMonth, "", 30 * 24 * h, []string{"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"}},
		{"2028-02-29T12:00:00Z", pacer.AtMonth, "", 30 * 24 * h, []string{"2028-03-01T00:00:00Z"}},
		// days of 23 and of 25 hours
		{"2026-03-28T12:00:00Z", pacer.AtDay, "Europe/Berlin", 24 * h, []string{"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"}},
		{"2026-10-24T12:00:00Z", pacer.AtDay, "Europe/Berlin", 24 * h, []string{"2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"}},
		// the hour from 2 to 3 comes twice, and from 2 to 3 not at all
		{"2026-10-24T23:10:00Z", pacer.AtHour, "Europe/Berlin", h, []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		{"2026-03-29T00:10:00Z", pacer.AtHour, "Europe/Berlin", h, []string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		// a day that begins at 1, as there is no midnight
		{"2026-09-05T12:00:00Z", pacer.AtDay, "America/Santiago", 24 * h, []string{"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}},
		// half an hour
		{"2026-04-04T13:10:00Z", pacer.AtHour, "Australia/Lord_Howe", h, []string{"2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z"}},
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range windows(t, from, len(c.want), c.align, c.zone, c.per) {
			if got := at.UTC().Format(time.RFC3339Nano); got != c.want[i] {
				t.Errorf("window %d from %s on by %v in %q begins at %s, want %s", i, c.from, c.align, c.zone, got, c.want[i])
			}
		}
	}
}

// A step of the wall clock opens no window, and keeps none open.
func TestContract9TheWallClockSteps(t *testing.T) {
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC).UnixNano()
	midnight := int64(12 * h)
	for _, c := range []struct {
		name   string
		step   time.Duration // at 13:00
		then   time.Duration // when the second window begins, since noon
		second time.Duration // and the third
	}{
		{"not at all", 0, 12 * h, 36 * h},
		{"back by a minute", -time.Minute, 12 * h, 36 * h},
		{"back by 30 hours", -30 * h, 12 * h, 36 * h},
		{"on by 3 hours", 3 * h, 12 * h, 33 * h}, // then it is 3 in the morning, and so there are 21 hours left
		{"on by 10 days", 240 * h, 12 * h, 36 * h},
	} {
		sch := pacer.NewSchedule(pacer.Per(1, 24*h).Aligned(pacer.AtDay, ""))
		sch.SetWall(noon)
		sch.Take(0, 1)
		sch.SetWall(noon + int64(c.step))
		at, _ := sch.Slot(int64(h), 1)
		sch.Take(at, 1)
		if at != int64(c.then) {
			t.Errorf("%s: the next window begins at %v", c.name, time.Duration(at))
		}
		sch.SetWall(noon + 2*int64(c.step)) // and another one
		at, _ = sch.Slot(at, 1)
		if at != int64(c.second) || at-midnight > int64(24*h) {
			t.Errorf("%s: the third begins at %v, want %v", c.name, time.Duration(at), c.second)
		}
	}
}

// A limit is read at each grant of its key, its time zone once.
func TestATimeZoneIsReadOnce(t *testing.T) {
	sch := pacer.NewSchedule(pacer.Per(5, 24*h).Aligned(pacer.AtDay, "Europe/Berlin"))
	b, err := sch.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var again pacer.Schedule
	if n := testing.AllocsPerRun(10, func() { err = again.UnmarshalBinary(b) }); err != nil || n > 3 {
		t.Errorf("%v allocations, %v", n, err)
	}
}

// Of a limit with a time zone that is known elsewhere everything is kept, and there is no slot.
func TestATimeZoneThatIsNotKnownHere(t *testing.T) {
	limits := pacer.Limits{pacer.Per(5, time.Minute).WithBurst(3), pacer.Per(5, 24*h).Aligned(pacer.AtDay, "Mars/Olympus")}
	sch := pacer.NewSchedule(limits...)
	b, err := sch.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var again pacer.Schedule
	if err := again.UnmarshalBinary(b); err != nil || !again.Has(limits) {
		t.Fatalf("%v, %v", again.Limits(), err)
	}
	if err := again.Err(); err == nil || err.Error() != `zone "Mars/Olympus" is not known here: it is the name of a time zone, such as Europe/Berlin` {
		t.Errorf("%v", err)
	}
	_, ok := again.Slot(0, 1)
	if _, folded := again.Fold(0, slices.Values([]int64{1, 2})); ok || folded || again.Grab(0, 1) || again.Idle(int64(100*h)) {
		t.Error("it is as if the time zone were known")
	}
	if c, err := again.AppendBinary(nil); err != nil || !slices.Equal(c, b) {
		t.Error("it is other bytes")
	}
	again.SetLimits(0, limits[:1])
	if again.Err() != nil || !again.Grab(0, 1) {
		t.Error("a limit that is set in its place grants nothing")
	}
}

// Where there is no error to return, limits that are not valid grant nothing: none that is another one than was meant.
func TestLimitsThatAreNotValidGrantNothing(t *testing.T) {
	for name, limits := range map[string]pacer.Limits{
		"an unknown time zone":  {pacer.Per(5, 24*h).Aligned(pacer.AtDay, "Mars/Olympus")},
		"Local":                 {pacer.Per(5, 24*h).Aligned(pacer.AtDay, "Local")},
		"an unknown algorithm":  {{Events: 5, Per: s, Algorithm: 9}},
		"a negative period":     {{Events: 5, Per: -s}},
		"a negative burst":      {{Events: 5, Per: s, Burst: -1}},
		"a window with a burst": {{Events: 5, Per: s, Burst: 2, Algorithm: pacer.SlidingWindow}},
		"a day of an hour":      {pacer.Per(5, h).Aligned(pacer.AtDay, "")},
		"one of two":            {pacer.Per(5, s), pacer.Per(5, -s).Aligned(pacer.AtDay, "x")},
		"none":                  {},
		"too many":              slices.Repeat(pacer.Limits{pacer.Every(s)}, pacer.LimitsMost+1),
	} {
		synctest.Test(t, func(t *testing.T) {
			changed := pacer.NewAll(pacer.Limits{pacer.Per(1000, s).WithBurst(1000)})
			if err := changed.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			changed.SetLimits(limits)
			over := pacer.Over(rate.NewLimiter(1000, 1000))
			over.SetLimits(limits)
			for _, p := range []*pacer.Pacer{pacer.NewAll(limits), changed, over} {
				r, err := p.Reserve()
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * 24 * h)
				if granted, wait := p.Try(); granted || wait >= 0 || !r.Slot().IsZero() {
					t.Errorf("%s: granted %v, or in %v", name, granted, wait)
				}
				p.SetLimit(pacer.Every(s))
				if err := r.Wait(t.Context()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if len(limits) > 0 && p.Restrict(limits) == nil {
					t.Errorf("%s: it is no error to keep it", name)
				}
			}
			if len(limits) == 0 {
				return
			}
			r := pacer.NewRegistry(pacer.RegistryOptions{Default: limits})
			if err := r.Wait(t.Context(), "a"); err == nil || errors.Is(err, pacer.ErrUnknown) {
				t.Errorf("%s, by default: %v", name, err)
			}
		})
	}
}
