package finetimer

import (
	"testing"
	"time"
)

func TestFiresAtItsTimeAndNotBefore(t *testing.T) {
	fired := make(chan time.Time, 1)
	timer := New(func() { fired <- time.Now() })
	for _, d := range []time.Duration{0, -time.Second, time.Microsecond, 3 * time.Millisecond, 20 * time.Millisecond} {
		start := time.Now()
		if timer.Reset(d) {
			t.Errorf("Reset(%v) says that the timer was armed", d)
		}
		if at := <-fired; at.Sub(start) < d {
			t.Errorf("Reset(%v) fired after %v", d, at.Sub(start))
		}
	}
}

func TestResetReplacesTheTime(t *testing.T) {
	fired := make(chan struct{}, 2)
	timer := New(func() { fired <- struct{}{} })
	timer.Reset(time.Hour)
	if !timer.Reset(time.Millisecond) {
		t.Error("Reset of an armed timer says that it was not armed")
	}
	<-fired
}

func TestStop(t *testing.T) {
	timer := New(func() { t.Error("a stopped timer fired") })
	timer.Reset(50 * time.Millisecond)
	if !timer.Stop() {
		t.Error("Stop of an armed timer says that it was not armed")
	}
	if timer.Stop() {
		t.Error("Stop of a stopped timer says that it was armed")
	}
	time.Sleep(100 * time.Millisecond)
}
