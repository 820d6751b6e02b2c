package pacer

import (
	"testing"
	"time"
)

// A cooldown that is over holds for those who had asked before its end, also when the limit is changed then.
func TestAdvanceKeepsTheSlotOfThoseWhoWait(t *testing.T) {
	const s = int64(time.Second)
	a := NewSchedule(Per(2, 10*time.Second).With(SlidingWindow))
	a.Take(0, 2)
	a.Cool(s, 20*time.Second)
	before, _ := a.Slot(5*s, 3)
	a.advance(22 * s)
	if after, _ := a.Slot(5*s, 3); before != 31*s || after != before {
		t.Errorf("the slot is %d, and then %d", before, after)
	}
}
