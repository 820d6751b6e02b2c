package cmd

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/internal/job"
)

// interrupts are the signals that end us, once they are caught.
type interrupts struct {
	ctx  context.Context // ended by the first, with a *job.Interrupt as its cause
	kill <-chan struct{} // closed by another: nothing is waited for any more
	stop func()          // to be called when there's nothing left to interrupt
	// release gives signals their default effect again. One that came before has ended ctx.
	release func()
}

// one is how long after the first a signal is the same one: timeout(1) signals its child and then its group, and a
// terminal that is closed tells us twice too.
const one = 200 * time.Millisecond

// catch catches SIGINT, SIGTERM, SIGHUP and SIGQUIT, except those that we were started to ignore. After another one, the
// next ends the process.
func catch(ctx context.Context) interrupts {
	ctx, cancel := context.WithCancelCause(ctx)
	var wanted []os.Signal
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
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
	kill, done, finished := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case s := <-caught:
			cancel(&job.Interrupt{Signal: s.(syscall.Signal)})
		case <-done:
			return
		}
		first := time.Now()
		for {
			select {
			case <-caught:
			case <-done:
				return
			}
			if time.Since(first) > one {
				signal.Reset(wanted...)
				close(kill)
				return
			}
		}
	}()
	end := sync.OnceFunc(func() { close(done) })
	release := func() {
		signal.Stop(caught) // Reset would lose one that is on its way
		signal.Stop(broken)
		end()
		<-finished
		select {
		case s := <-caught:
			cancel(&job.Interrupt{Signal: s.(syscall.Signal)})
		default:
		}
	}
	return interrupts{ctx: ctx, kill: kill, stop: func() { end(); cancel(nil) }, release: release}
}
