// Package finetimer wakes a function at an instant, as precisely as the system allows.
//
// Where time.Timer is precise it is a time.Timer. On Linux it is not: the runtime sleeps in epoll_wait, whose timeout
// counts whole milliseconds, so that a lone sleeper wakes half a millisecond late at the median, which is half of the
// interval at 1,000 grants a second. There a timerfd is used, which the runtime's poller waits for like for any file.
package finetimer

import "time"

// never is the time to which a timer that nobody has armed is set.
const never = 1 << 62

// Timer calls its function once each time it is armed by Reset and its time has come. The function runs in a goroutine
// of the timer's, never two at a time, and may be called once more shortly after Stop or Reset. Methods may be called
// by several goroutines. A timer is made for the life of the process: nothing frees it.
type Timer interface {
	// Reset arms the timer to fire after d, in place of the time for which it was armed; d <= 0 is at once.
	// It reports whether the timer was armed.
	Reset(d time.Duration) bool
	// Stop disarms the timer and reports whether it was armed.
	Stop() bool
}

// portable returns a disarmed time.Timer.
func portable(fire func()) Timer {
	t := time.AfterFunc(never, fire)
	t.Stop()
	return t
}
