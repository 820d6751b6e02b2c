//go:build unix

package cmd

import (
	"os"
	"os/signal"
	"syscall"
)

// ours has SIGUSR1 and SIGUSR2 do nothing outside of control, too: while a long journal is read, or what is left over is
// kept, they must not end us.
func ours() { signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1, syscall.SIGUSR2) }

// control calls status at each SIGUSR1, and pause at each SIGUSR2, until stop is called.
func control(status, pause func()) (stop func()) {
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, syscall.SIGUSR1, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-caught:
				if s == syscall.SIGUSR1 {
					status()
				} else {
					pause()
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) } // they stay ours, see above
}
