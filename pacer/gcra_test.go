package pacer_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func TestEmptyTakesWhatIsInTheBucketAndNoMore(t *testing.T) {
	const s = int64(time.Second)
	g := pacer.NewSchedule(pacer.Every(time.Second).WithBurst(3))
	g.Empty(100 * s)
	for n, want := range map[int64]int64{1: 101, 3: 103} {
		if at, _ := g.Slot(100*s, n); at != want*s {
			t.Errorf("%d units after Empty are due at %v", n, time.Duration(at))
		}
	}
	g.Empty(50 * s)
	if at, _ := g.Slot(100*s, 1); at != 101*s {
		t.Error("Empty has filled the bucket")
	}
	for _, void := range []pacer.Limit{{}, pacer.Unlimited()} {
		g := pacer.NewSchedule(void)
		g.Empty(100 * s)
		g.SetLimits(100*s, pacer.Limits{pacer.Every(time.Second).WithBurst(3)})
		if at, ok := g.Slot(100*s, 1); at != 101*s || !ok {
			t.Errorf("emptied at %v, the first unit is due at %v", void, time.Duration(at))
		}
	}
}

func TestStricterKeepsBoth(t *testing.T) {
	for _, c := range []struct{ l, m, want pacer.Limit }{
		{pacer.Per(10, time.Second), pacer.Per(5, time.Second), pacer.Per(5, time.Second)},
		{pacer.Per(10, time.Second), pacer.Per(100, 10*time.Second), pacer.Per(10, time.Second)},
		{pacer.Per(10, time.Second).WithBurst(4), pacer.Per(5, time.Second).WithBurst(9), pacer.Per(5, time.Second).WithBurst(4)},
		{pacer.Per(10, time.Second).WithBurst(4), pacer.Per(20, time.Second).WithBurst(2), pacer.Per(10, time.Second).WithBurst(2)},
		{pacer.Unlimited(), pacer.Per(5, time.Second), pacer.Per(5, time.Second)},
		{pacer.Limit{}, pacer.Unlimited(), pacer.Limit{}},
		{pacer.Limit{Events: math.MaxInt64, Per: 2}, pacer.Limit{Events: math.MaxInt64, Per: 3}, pacer.Limit{Events: math.MaxInt64, Per: 3}},
	} {
		l, m, want := pacer.Limits{c.l}, pacer.Limits{c.m}, pacer.Limits{c.want}
		if got := l.Stricter(m); !got.Equal(want) {
			t.Errorf("the stricter of %v and %v is %v, want %v", c.l, c.m, got, c.want)
		}
		if got := m.Stricter(l); !got.Equal(want) {
			t.Errorf("the stricter of %v and %v is %v, want %v", c.m, c.l, got, c.want)
		}
	}
	inf, burst, window := pacer.Unlimited(), pacer.Per(10, time.Second).WithBurst(5), pacer.Per(10, time.Second).With(pacer.SlidingWindow)
	for _, c := range []struct{ l, m, want pacer.Limits }{
		{pacer.Limits{burst}, pacer.Limits{inf}, pacer.Limits{burst}}, // the burst stays
		{pacer.Limits{inf}, pacer.Limits{burst}, pacer.Limits{burst}},
		{pacer.Limits{burst, inf}, pacer.Limits{pacer.Per(5, time.Second).WithBurst(9)}, pacer.Limits{pacer.Per(5, time.Second).WithBurst(5)}},
		{pacer.Limits{burst, window}, pacer.Limits{inf}, pacer.Limits{burst, window}},
		{pacer.Limits{inf}, pacer.Limits{inf, window}, pacer.Limits{window}},
		{pacer.Limits{inf}, pacer.Limits{inf}, pacer.Limits{inf}},
		{nil, pacer.Limits{inf}, pacer.Limits{inf}},
		{pacer.Limits{inf}, nil, pacer.Limits{inf}},
	} {
		if got := c.l.Stricter(c.m); got.String() != c.want.String() {
			t.Errorf("the stricter of %v and %v is %v, want %v", c.l, c.m, got, c.want)
		}
	}
	if pacer.Per(10, time.Second).Equal(pacer.Per(10, time.Second).WithBurst(2)) {
		t.Error("a burst of 2 is as good as one of 1")
	}
}

func TestCheckCost(t *testing.T) {
	l := pacer.Every(time.Second).WithBurst(2)
	var cost *pacer.CostError
	if l.CheckCost(2, false) != nil || l.CheckCost(3, true) != nil || pacer.Unlimited().CheckCost(9, false) != nil {
		t.Error("a cost that can be granted is refused")
	}
	if !errors.As(l.CheckCost(3, false), &cost) || !errors.As(l.CheckCost(0, true), &cost) {
		t.Error("a cost that can't be granted is accepted")
	}
}

func TestScheduleIsItsBytes(t *testing.T) {
	const s = int64(time.Second)
	now := int64(time.Hour)
	sch := pacer.NewSchedule(pacer.Per(3, time.Second).WithBurst(2))
	for step := range 12 {
		switch step {
		case 1, 3, 4, 6, 7:
			sch.Throttled(now, now, pacer.Feedback{Adaptive: step != 7}, uint64(step)<<40)
		case 5:
			sch.Restrict(now, pacer.Limits{pacer.Per(2, time.Second)})
		case 8:
			sch.SetPaused(now, true)
		case 9:
			sch.SetPaused(now, false)
			sch.Cool(now, time.Minute)
		case 10:
			sch.SetLimits(now, pacer.Limits{pacer.Unlimited()})
		default:
			sch.Take(now, 2)
		}
		now += 2 * s
		b, err := sch.AppendBinary(nil)
		if err != nil || len(b) > pacer.ScheduleSize(1) {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		var again pacer.Schedule
		if err := again.UnmarshalBinary(b); err != nil {
			t.Fatalf("after step %d: %v", step, err)
		}
		for n := range b {
			if again.UnmarshalBinary(b[:n]) == nil {
				t.Errorf("after step %d the first %d of %d bytes are taken for a state", step, n, len(b))
			}
		}
		if again.UnmarshalBinary(append(slices.Clone(b), 0)) == nil {
			t.Errorf("after step %d a byte too many is taken for a state", step)
		}
		if err := again.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if c, _ := again.AppendBinary(nil); !slices.Equal(c, b) {
			t.Errorf("after step %d it is other bytes", step)
		}
		negative := []int{4, 5, 6, 7} // what may not be: the head of the limit
		if b[0]&8 != 0 {              // what was said is before it
			negative = []int{4, 5, 6, 7, 9, 10, 12, 13, 14, 15, 16, 17}
		}
		for _, at := range negative {
			bad := slices.Clone(b)
			bad[8*at+7] ^= 0x80
			if again.UnmarshalBinary(bad) == nil {
				t.Errorf("after step %d a sign changed at %d is taken for a state", step, at)
			}
		}
	}
}

// What was said outlives a clock, and what was granted does not.
func TestRestart(t *testing.T) {
	sch := pacer.NewSchedule(pacer.Every(time.Second))
	const now, hour = int64(5 * time.Second), int64(time.Hour)
	sch.Take(hour, 1)
	sch.Throttled(hour, hour, pacer.Feedback{After: time.Minute, Adaptive: true}, 0)
	sch.SetPaused(hour, true)
	for left, want := range map[time.Duration]time.Duration{
		-1: 0, 0: 0, 10 * time.Second: 10 * time.Second, time.Minute: time.Minute, time.Hour: time.Minute,
	} {
		s := sch.Clone()
		s.Restart(now, now, left)
		until, ok := s.Until(now)
		if ok != (want > 0) || ok && until != now+int64(want) || !s.Paused() || s.Effective(now) != pacer.Every(time.Second) || s.Events() != 1 {
			t.Errorf("%v left: %v, %+v", left, time.Duration(until), s)
		}
		s.SetPaused(now, false)
		if at, ok := s.Slot(now, 1); !ok || at != now+max(int64(want), int64(time.Second)) {
			t.Errorf("%v left: the next slot is at %v", left, time.Duration(at))
		}
	}
}
