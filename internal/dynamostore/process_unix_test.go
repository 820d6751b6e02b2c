//go:build unix

package dynamostore_test

import (
	"syscall"
	"testing"
	"time"
)

// A process that is stopped, and goes on, has no grant that is early, and others go on without it.
func TestClientStopped(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	k := newTakers(t, s)
	stopped, other := k.start(), k.start()
	pass(time.Second)
	if err := stopped.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pass(1500 * time.Millisecond)
	if err := stopped.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	pass(700 * time.Millisecond)
	slots := k.end(stopped, other)
	apart(t, slots, takeEvery)
	for i := 1; i < len(slots); i++ {
		if d := slots[i] - slots[i-1]; d > 1200*time.Millisecond {
			t.Errorf("nobody had a grant for %v", d)
		}
	}
	if len(slots) < 20 {
		t.Errorf("%d grants", len(slots))
	}
}
