//go:build unix

package cmd

import (
	"os"
	"os/signal"
	"syscall"
)

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
	return func() {
		signal.Stop(caught)
		close(done)
	}
}
