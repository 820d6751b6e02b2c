package finetimer

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// New returns a disarmed timer that calls fire.
func New(fire func()) Timer {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil { // a sandbox may forbid the call, or the descriptors are used up
		return portable(fire)
	}
	go expirations(os.NewFile(uintptr(fd), "timerfd"), fire)
	return timerfd(fd)
}

// timerfd is the file descriptor of a timer. It is never closed.
type timerfd int

func (t timerfd) Reset(d time.Duration) bool {
	return t.set(max(d, 1)) // a time of 0 would disarm
}

func (t timerfd) Stop() bool { return t.set(0) }

func (t timerfd) set(d time.Duration) (armed bool) {
	var old unix.ItimerSpec
	value := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(int(t), 0, &value, &old); err != nil {
		panic("finetimer: timerfd_settime: " + err.Error()) // only a wrong argument or descriptor makes it fail
	}
	return old.Value != (unix.Timespec{})
}

// expirations calls fire each time the timer of the file expires.
func expirations(file *os.File, fire func()) {
	var count [8]byte
	for {
		if _, err := file.Read(count[:]); err != nil {
			return
		}
		fire()
	}
}
