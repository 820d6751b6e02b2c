package cmd

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/throttle-cli/throttle/internal/job"
)

// untilSignal returns a context that SIGINT, SIGTERM or SIGHUP ends, with a *job.Interrupt as the cause. A second signal
// then has its default effect: it ends the process at once. A signal that we were started to ignore stays ignored.
func untilSignal(ctx context.Context) (context.Context, func()) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var wanted []os.Signal
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			wanted = append(wanted, s)
		}
	}
	caught := make(chan os.Signal, 1)
	if len(wanted) > 0 {
		signal.Notify(caught, wanted...)
	}
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE) // so that a write to a closed pipe is an error, and ours to handle
	done := make(chan struct{})
	go func() {
		select {
		case s := <-caught:
			signal.Reset(wanted...)
			cancel(&job.Interrupt{Signal: s.(syscall.Signal)})
		case <-done:
		}
	}()
	return ctx, func() { close(done); cancel(nil) }
}
