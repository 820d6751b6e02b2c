//go:build !linux

package finetimer

// New returns a disarmed timer that calls fire.
func New(fire func()) Timer { return portable(fire) }
