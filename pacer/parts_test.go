package pacer

import (
	"encoding/binary"
	"testing"
	"time"
)

// What is to come at an instant is told, until one has advanced to it.
func TestWhatIsScheduled(t *testing.T) {
	const s = int64(time.Second)
	a := NewSchedule(Per(2, 10*time.Second).With(SlidingWindow))
	a.Take(0, 2)
	a.Cool(s, 20*time.Second)
	before, _ := a.Slot(5*s, 3)
	if cool, step := a.Scheduled(); cool != 21*s || step != 0 {
		t.Errorf("scheduled are %d and %d", cool, step)
	}
	a.Advance(22 * s)
	if after, _ := a.Slot(5*s, 3); before != 31*s || after != before {
		t.Errorf("the slot is %d, and then %d", before, after)
	}
	if cool, _ := a.Scheduled(); cool != 0 {
		t.Errorf("the cooldown is over at %d", cool)
	}
}

func TestPartsSayWhereTheStateIs(t *testing.T) {
	const at = int64(1e18)
	limits := Limits{
		Per(1, time.Hour), Per(5, time.Hour).With(SlidingWindow), Per(1000, time.Hour).Aligned(AtHour, "Europe/Berlin"), Per(7, time.Hour).With(FixedWindow),
	}
	a := NewSchedule(limits...)
	for _, said := range []bool{false, true} {
		if said {
			a.Cool(at, time.Second)
			a.Advance(at + int64(time.Second))
		}
		a.Take(at+int64(2*time.Second), 1)
		last, _ := a.Last()
		b, _ := a.AppendBinary(nil)
		for i, p := range a.Parts() {
			if p.Limit != limits[i] || p.Calendar != (i == 2) {
				t.Errorf("%+v", p)
			}
			want := last
			switch i {
			case 0:
				want += int64(time.Hour)
			case 1:
				p.At += 3 * 8 // when the newest run was
			}
			if got := int64(binary.LittleEndian.Uint64(b[p.At:])); got != want {
				t.Errorf("limit %v: at %d there is %d, want %d", p.Limit, p.At, got, want)
			}
		}
	}
}
