package output_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/throttle-cli/throttle/internal/output"
)

// play lets jobs write n lines each, in pieces, at the same time, and returns what comes out.
func play(t *testing.T, mode output.Mode, keep bool, jobs, lines, width int) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	s := output.New(&out, &err, mode, keep)
	js := make([]*output.Job, jobs)
	for i := range js {
		js[i] = s.Job(fmt.Sprintf("t%d:", i))
	}
	var wg sync.WaitGroup
	for i, j := range js {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 6))
			for to, w := range []io.Writer{j.Stdout(), j.Stderr()} {
				text := strings.Repeat(strings.Repeat(string(rune('a'+i%26)), width)+"\n", lines)
				text = fmt.Sprintf("%d of %d\n", to, i) + text
				for len(text) > 0 {
					n := min(1+rng.IntN(3*width), len(text))
					if _, e := w.Write([]byte(text[:n])); e != nil {
						t.Error(e)
					}
					text = text[n:]
				}
			}
			if e := j.End(); e != nil {
				t.Error(e)
			}
		})
	}
	wg.Wait()
	return out.String(), err.String()
}

func TestNothingIsTornOrMixed(t *testing.T) {
	for _, width := range []int{10, 1000, 100_000} { // in memory, and on disk
		for _, mode := range []output.Mode{output.Group, output.LineBuffer} {
			for _, keep := range []bool{false, true} {
				stdout, stderr := play(t, mode, keep, 20, 9, width)
				for to, text := range []string{stdout, stderr} {
					inspect(t, text, to, mode, keep, width)
				}
			}
		}
	}
}

func inspect(t *testing.T, text string, to int, mode output.Mode, keep bool, width int) {
	t.Helper()
	seen := make(map[int]int)
	last, changes := -1, 0
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		tag, rest, _ := strings.Cut(line, ":")
		var i int
		if _, err := fmt.Sscanf(tag, "t%d", &i); err != nil {
			t.Fatalf("mode %v: a line begins with %.20q", mode, line)
		}
		want := strings.Repeat(string(rune('a'+i%26)), width)
		if seen[i] == 0 {
			want = fmt.Sprintf("%d of %d", to, i)
		}
		if rest != want {
			t.Fatalf("mode %v: torn line of %d bytes, begins with %.20q", mode, len(line), line)
		}
		seen[i]++
		if i != last {
			changes++
			if keep && i < last {
				t.Fatalf("mode %v: job %d comes after %d", mode, i, last)
			}
		}
		last = i
	}
	if (keep || mode == output.Group) && changes != 20 {
		t.Errorf("mode %v, keep %v: the output of 20 jobs came in %d pieces", mode, keep, changes)
	}
	for i := range 20 {
		if seen[i] != 10 {
			t.Errorf("mode %v, keep %v: %d of 10 lines of job %d", mode, keep, seen[i], i)
		}
	}
}

func TestTheFirstInOrderWritesItsLinesAtOnce(t *testing.T) {
	var out, err bytes.Buffer
	s := output.New(&out, &err, output.LineBuffer, true)
	first, second := s.Job(""), s.Job("")
	write := func(j *output.Job, text string) {
		if _, err := j.Stdout().Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write(second, "c\nd")
	write(first, "a\nb")
	if out.String() != "a\n" {
		t.Errorf("the first has written a line, and %q is out", out.String())
	}
	_ = first.End()
	if out.String() != "a\nbc\nd" {
		t.Errorf("it is the second's turn, and %q is out", out.String())
	}
	write(second, "e\n")
	if _ = second.End(); out.String() != "a\nbc\nde\n" {
		t.Errorf("%q", out.String())
	}
}

func TestWhatEndedJobsHoldIsBounded(t *testing.T) {
	var out, err bytes.Buffer
	s := output.New(&out, &err, output.Group, true)
	first := s.Job("")
	const jobs, size = 2000, 40_000 // 80 MB, of which 32 may stay in memory
	line := bytes.Repeat([]byte("z"), size)
	for i := range jobs {
		j := s.Job("")
		line[0] = byte('a' + i%26)
		_, _ = j.Stdout().Write(line)
		if err := j.End(); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.InMemory(); got > 32<<20 {
		t.Errorf("%d bytes are in memory", got)
	}
	_ = first.End()
	for i := range jobs {
		if got := out.Next(size); len(got) != size || got[0] != byte('a'+i%26) || got[size-1] != 'z' {
			t.Fatalf("job %d has %d bytes", i, len(got))
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestABrokenConsumerIsToldToJobs(t *testing.T) {
	broken := errors.New("broken")
	for _, mode := range []output.Mode{output.Group, output.LineBuffer} {
		s := output.New(failing{broken}, failing{broken}, mode, false)
		first, second := s.Job(""), s.Job("")
		_, writeErr := first.Stdout().Write([]byte("a\n"))
		if err := first.End(); mode == output.Group && !errors.Is(err, broken) {
			t.Errorf("mode %v: End returns %v", mode, err)
		} else if mode == output.LineBuffer && !errors.Is(writeErr, broken) {
			t.Errorf("mode %v: Write returns %v", mode, writeErr)
		}
		if _, err := second.Stdout().Write([]byte("b\n")); !errors.Is(err, broken) || !errors.Is(s.Broken(), broken) {
			t.Errorf("mode %v: the next job writes with %v", mode, err)
		}
	}
}

func TestNoRoomForTheOutput(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent")
	t.Setenv("TMP", "/nonexistent")
	var out, err bytes.Buffer
	s := output.New(&out, &err, output.Group, false)
	j := s.Job("")
	if _, err := j.Stdout().Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Write: %v", err)
	}
	if err := j.End(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("End: %v", err)
	}
	small := s.Job("")
	_, _ = small.Stdout().Write([]byte("small"))
	if err := small.End(); err != nil || !strings.HasSuffix(out.String(), "small") {
		t.Errorf("what fits into memory needs no disk: %v", err)
	}
}

func TestWhatWasWrittenBeforeARestartIsForgotten(t *testing.T) {
	var out bytes.Buffer
	s := output.New(&out, io.Discard, output.Group, true)
	a, b := s.Job("a\t"), s.Job("b\t")
	big := bytes.Repeat([]byte("x"), 200<<10)
	for range 3 {
		_, _ = a.Stdout().Write(big)
		a.Restart()
	}
	_, _ = fmt.Fprintln(b.Stdout(), "two")
	if err := b.End(); err != nil {
		t.Error(err)
	}
	_, _ = fmt.Fprintln(a.Stdout(), "one")
	if err := a.End(); err != nil {
		t.Error(err)
	}
	if got, want := out.String(), "a\tone\nb\ttwo\n"; got != want {
		t.Errorf("got %.80q, want %q", got, want)
	}
}
