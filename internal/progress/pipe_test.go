package progress_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/progress"
)

// TestReadByOneWhoWritesThere is stdout | cat: what goes through the pipe comes to the terminal some time later.
func TestReadByOneWhoWritesThere(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			width, height := 20+rng.IntN(100), 2+rng.IntN(20)
			got, want := newTerminal(t, width, height), newTerminal(t, width, height)
			var pipe bytes.Buffer
			s := progress.Show(&pipe, got, progress.Options{
				Mode: progress.Bar, State: running(), Env: noEnv,
				Terminal: &progress.Terminal{Size: got.size, Piped: true},
			})
			for range 1 + rng.IntN(40) {
				p := output(rng, width)
				w := [2]io.Writer{s.Stdout(), s.Stderr()}[rng.IntN(2)]
				_, _ = io.WriteString(w, p)
				time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
				_, _ = pipe.WriteTo(got) // by cat
				_, _ = io.WriteString(want, p)
				time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
			}
			s.Close()
			if want.at.column > 0 {
				_, _ = io.WriteString(want, "\r\n")
			}
			if d := difference(trimmed(got.lines(true)), trimmed(want.lines(true))); d != "" {
				t.Errorf("seed %d: %s", seed, d)
			}
		})
	}
}

func TestTheBarComesBackWhenTheOtherOneHasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := newTerminal(t, 80, 24)
		var pipe bytes.Buffer
		s := progress.Show(&pipe, got, progress.Options{
			Mode: progress.Bar, State: running(), Env: noEnv, Terminal: &progress.Terminal{Size: got.size, Piped: true},
		})
		defer s.Close()
		shown := func() bool {
			synctest.Wait()
			return strings.Contains(strings.Join(got.lines(false), ""), "/s of ")
		}
		time.Sleep(110 * time.Millisecond) // it is drawn each 100 ms
		if !shown() {
			t.Fatal("there is no bar")
		}
		for range 3 { // each time that takes 30 ms
			_, _ = io.WriteString(s.Stdout(), "x\n")
			time.Sleep(20 * time.Millisecond)
			if shown() {
				t.Error("it is there too early")
			}
		}
		time.Sleep(11 * time.Millisecond)
		if !shown() {
			t.Error("it is not there again")
		}
	})
}

func TestWhoReadsAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // it is only read
	defer w.Close() //nolint:errcheck // nothing is in it
	if !progress.WritesTo(w, os.Stderr) {
		t.Error("nobody else has the pipe, so nobody knows")
	}
}
