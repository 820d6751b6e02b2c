package dynamostore_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
)

const takeEvery = 30 * time.Millisecond

// takeGrants is a process that takes grants, and tells their slots.
func takeGrants(url string) int {
	ctx := context.Background()
	s, err := dynamostore.Open(ctx, url, "k", dynamostore.Options{Dial: dynamosdk.Dial, Limits: every(takeEvery), Heartbeat: 2 * time.Second})
	for err == nil {
		var r *dynamostore.Reservation
		if r, err = s.Grant(ctx, 1); err == nil {
			_, err = fmt.Fprintf(os.Stdout, "slot %d\n", r.Since1970())
		}
	}
	_, _ = fmt.Fprintln(os.Stderr, err)
	return 1
}

// takers are processes that take grants.
type takers struct {
	t         *testing.T
	url       string
	write     *os.File
	collected chan []time.Duration
}

func newTakers(t *testing.T, s *server) *takers {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	k := &takers{t: t, url: s.url(), write: write, collected: make(chan []time.Duration)}
	go func() {
		var slots []time.Duration
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			var at int64
			if _, err := fmt.Sscanf(lines.Text(), "slot %d", &at); err == nil {
				slots = append(slots, time.Duration(at))
			}
		}
		slices.Sort(slots)
		k.collected <- slots
	}()
	return k
}

func (k *takers) start() *exec.Cmd {
	k.t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // the test itself
	cmd.Env = append(os.Environ(), "TEST_DYNAMOSTORE_TAKES="+k.url)
	cmd.Stdout, cmd.Stderr = k.write, io.Discard
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	return cmd
}

// end kills them, and returns the slots of their grants.
func (k *takers) end(cmds ...*exec.Cmd) []time.Duration {
	for _, cmd := range cmds {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	_ = k.write.Close()
	return <-k.collected
}

// Processes take grants, and are killed at any moment: none of their grants is early, and nobody is stuck.
func TestKillStorm(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	k := newTakers(t, s)
	cmds := []*exec.Cmd{k.start(), k.start(), k.start(), k.start()}
	for range 10 {
		pass(rand.N(500 * time.Millisecond))
		i := rand.IntN(len(cmds))
		_ = cmds[i].Process.Kill()
		_ = cmds[i].Wait()
		cmds[i] = k.start()
	}
	pass(1500 * time.Millisecond)
	slots := k.end(cmds...)
	t.Logf("%d grants, %d exactly %v after the one before", len(slots), apart(t, slots, takeEvery), takeEvery)
	if len(slots) == 0 {
		t.Error("there are no grants")
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := s.open(t, "k", dynamostore.Options{Heartbeat: 2 * time.Second}).WaitN(ctx, 1); err != nil {
		t.Error(err)
	}
}
