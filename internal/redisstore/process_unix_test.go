//go:build unix

package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// Processes take grants, and are killed at any moment: none of their grants is early, and none is stuck.
func TestKillStorm(t *testing.T) {
	if address := os.Getenv("TEST_REDISSTORE_TAKES"); address != "" {
		st, err := Open(t.Context(), address, "k", Options{Limits: pacer.Limits{pacer.Every(5 * time.Millisecond)}, Heartbeat: time.Second})
		for err == nil {
			var r *Reservation
			if r, err = st.Grant(t.Context(), 1); err == nil {
				_, _ = fmt.Fprintf(os.NewFile(3, "slots"), "slot %d\n", r.now().slot)
			}
		}
		t.Fatal(err)
	}
	t.Parallel()
	s := newServer(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var slots []time.Duration
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			var at int64
			if _, err := fmt.Sscanf(lines.Text(), "slot %d", &at); err == nil {
				slots = append(slots, time.Duration(at))
			}
		}
	}()
	take := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillStorm$") //nolint:gosec // the test itself
		cmd.Env = append(os.Environ(), "TEST_REDISSTORE_TAKES="+s.url())
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = io.Discard, io.Discard, []*os.File{write}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	takers := []*exec.Cmd{take(), take(), take(), take()}
	for range 20 {
		<-time.After(time.Duration(rand.Int64N(int64(200 * time.Millisecond))))
		i := rand.IntN(len(takers))
		_ = takers[i].Process.Kill()
		_ = takers[i].Wait()
		takers[i] = take()
	}
	<-time.After(2 * time.Second)
	for _, cmd := range takers {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	_ = write.Close()
	<-collected
	slices.Sort(slots)
	exact := apart(t, slots, 5*time.Millisecond, 0)
	t.Logf("%d grants, none early, %d exactly 5 ms after the one before", len(slots), exact)
	if len(slots) == 0 {
		t.Error("there are no grants")
	}
	last := s.open(t, "k", Options{Heartbeat: time.Second})
	if err := last.WaitN(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

// A server that was stopped: nobody who waits is early or lost.
func TestServerStopped(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := Options{Limits: pacer.Limits{pacer.Every(700 * time.Millisecond)}, Heartbeat: 2 * time.Second, Timeout: time.Minute}
	a, b := s.open(t, "k", o), s.open(t, "k", o)
	rs := []*Reservation{reserve(t, a), reserve(t, a), reserve(t, b), reserve(t, a), reserve(t, b), reserve(t, a), reserve(t, b)}
	var wg sync.WaitGroup
	for _, r := range rs {
		wg.Go(func() {
			if err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Second) // longer than two heartbeats
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	var slots []time.Duration
	for _, r := range rs {
		slots = append(slots, r.Since1970())
	}
	slices.Sort(slots)
	apart(t, slots, 700*time.Millisecond, 0)
}

// One who is interrupted does not wait for a server that does not answer: not in a streak of grants either, and the grant is not lost
// twice.
func TestInterruptedInAStreak(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	st := s.open(t, "k", Options{Limits: pacer.Limits{pacer.Every(time.Nanosecond)}, Timeout: time.Minute})
	collect(t, 2*streakLong, st)
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if err := st.WaitN(ctx, 1); !errors.Is(err, why) { // else it would last a minute
		t.Errorf("interrupted: %v", err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	collect(t, 1, st)
	if status, err := st.Status(t.Context()); err != nil || status.Grants > 2*streakLong+2 || len(status.Waiting) > 0 {
		t.Errorf("%d grants, %d wait, %v", status.Grants, len(status.Waiting), err)
	}
}
