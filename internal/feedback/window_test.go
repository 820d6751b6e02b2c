package feedback_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/throttle-cli/throttle/internal/feedback"
)

func TestWindowKeepsBothEnds(t *testing.T) {
	const size = feedback.WindowSize
	random := rand.New(rand.NewPCG(1, 2))
	for _, total := range []int{0, 1, size - 1, size, size + 1, 2*size - 1, 2 * size, 2*size + 1, 3 * size, 3*size + 77, 10 * size} {
		for _, most := range []int{1000, size - 1, size, 3 * size, 11 * size} {
			stream := make([]byte, total)
			for i := range stream {
				stream[i] = byte(random.Uint32())
			}
			want := stream
			if total > 2*size {
				want = append(append(bytes.Clone(stream[:size]), '\n'), stream[total-size:]...)
			}
			var out bytes.Buffer
			w := feedback.NewWindow(&out)
			for rest := stream; len(rest) > 0; {
				n := min(1+random.IntN(most), len(rest))
				if m, err := w.Write(rest[:n]); m != n || err != nil {
					t.Fatal(m, err)
				}
				rest = rest[n:]
			}
			if !bytes.Equal(w.Bytes(), want) {
				t.Errorf("%d bytes, up to %d at a time: what was kept is wrong", total, most)
			}
			if !bytes.Equal(out.Bytes(), stream) {
				t.Errorf("%d bytes, up to %d at a time: what was passed on is wrong", total, most)
			}
		}
	}
}

type broken struct{}

func (broken) Write(p []byte) (int, error) { return len(p) / 2, io.ErrClosedPipe }

func TestWindowReturnsWhatTheNextWriterReturns(t *testing.T) {
	w := feedback.NewWindow(broken{})
	n, err := w.Write([]byte("abcd"))
	if n != 2 || !errors.Is(err, io.ErrClosedPipe) {
		t.Error(n, err)
	}
	if string(w.Bytes()) != "abcd" {
		t.Errorf("kept %q", w.Bytes())
	}
}

func TestWindowOfNothing(t *testing.T) {
	if b := (*feedback.Window)(nil).Bytes(); len(b) != 0 {
		t.Errorf("a nil window has %q", b)
	}
	w := feedback.NewWindow(io.Discard)
	if n := testing.AllocsPerRun(10, func() {
		_, _ = w.Write(nil)
		_ = w.Bytes()
	}); n != 0 {
		t.Errorf("%v allocations without output", n)
	}
}
