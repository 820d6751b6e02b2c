//go:build linux || darwin

package lockfile

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// What each of several open files knows of the queue is what is in the file, whoever comes, leaves or dies, also where the
// queue goes over the end of its ring, and where it changes rings.
func TestSeveralOpenFilesKnowOneQueue(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 3))
		h := newHost()
		path := statePath(t)
		o := Options{Limit: pacer.Every(time.Second)}
		files := []*user{h.open(t, path, o), h.open(t, path, o), h.open(t, path, o)}
		files[0].grants()
		var queue []*Reservation
		left := 30 // leaving in the middle starts a ring anew: so few that it comes round
		for step := range 5 * queueMost / 2 {
			f := files[rng.IntN(len(files))]
			switch n := rng.IntN(100); {
			case len(queue) < 3 || n < 48 && len(queue) < 200:
				queue = append(queue, f.reserve())
			case n == 99 && left > 0 && step > 9*queueMost/4:
				left--
				i := rng.IntN(len(queue))
				queue[i].Cancel()
				queue = slices.Delete(queue, i, i+1)
			default:
				if slot := queue[0].SinceBoot(); slot > h.now {
					h.pass(slot - h.now)
				}
				if err := queue[0].Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				queue = queue[1:]
			}
			if step%997 != 0 && left > 25 {
				continue
			}
			s, err := f.Status()
			if err != nil || s.Damage != "" || len(s.Waiting) != len(queue) {
				t.Fatalf("seed %d: after %d steps %d of %d wait: %v, %v", seed, step, len(s.Waiting), len(queue), s.Damage, err)
			}
			for i, r := range queue {
				if at := h.wall.Add(r.SinceBoot() - h.now); !at.Equal(s.Waiting[i].Slot) {
					t.Fatalf("seed %d: after %d steps the slot of the %d-th is %v for its owner, and %v in the file", seed, step, i, at, s.Waiting[i].Slot)
				}
			}
		}
		for _, f := range files {
			f.warned()
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Who leaves while the lock is held has left as soon as it is free, although the others in its process stay.
func TestLeavingWhileTheLockIsHeld(t *testing.T) {
	f := gate(t)
	r, err := f.Reserve(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	stays, err := f.Reserve(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	holder := start(t, f.path, time.Hour, "hold", 0)
	if !r.Cancel() {
		t.Error("it was granted")
	}
	holder.kill()
	waiters(t, f, 1)
	if err := f.SetLimit(t.Context(), pacer.Unlimited()); err != nil {
		t.Fatal(err)
	}
	if err := stays.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// Grants that nobody has collected are kept, however many there are.
func TestGrantsAreKeptUntilTheyAreCollected(t *testing.T) {
	s := newState([16]byte{1})
	s.setLimit(0, pacer.Every(time.Second))
	b, _ := s.put(make([]byte, recordRoom), 1, nil)
	most := grantsMost(len(b))
	for _, n := range []int{1, most, most + 1, 500} {
		h := newHost()
		u := h.open(t, statePath(t), Options{Limit: pacer.Every(time.Second)})
		u.grants()
		start := h.now
		var rs []*Reservation
		for range n + 2 {
			rs = append(rs, u.reserve())
		}
		h.pass(time.Duration(n+1) * time.Second)
		if err := rs[0].Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err := u.Status(); err != nil || s.Damage != "" || len(s.Waiting) != 1 || s.Grants != uint64(n)+2 {
			t.Errorf("%d: %d wait, %d grants, %v, %v", n, len(s.Waiting), s.Grants, s.Damage, err)
		}
		for i, r := range rs[:n+1] {
			if err := r.Wait(t.Context()); err != nil || r.SinceBoot() != start+time.Duration(i+1)*time.Second {
				t.Fatalf("%d: grant %d at %v, %v", n, i, r.SinceBoot()-start, err)
			}
		}
		u.warned()
	}
}
