package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/input"
	"github.com/throttle-cli/throttle/internal/pipe"
	"github.com/throttle-cli/throttle/pacer"
)

func options(p *pacer.Pacer, chunk, ahead int) pipe.Options {
	return pipe.Options{
		Ask:   func(_ context.Context, n int) (pipe.Grant, error) { return p.ReserveN(n) },
		Delim: '\n', Chunk: func() int { return chunk }, Ahead: ahead,
	}
}

// stamps notes when each write came.
type stamps struct {
	bytes.Buffer
	start time.Time
	at    []time.Duration
	err   error // after limit writes
	limit int
}

func (s *stamps) Write(p []byte) (int, error) {
	if s.err != nil && len(s.at) == s.limit {
		return 0, s.err
	}
	s.at = append(s.at, time.Since(s.start))
	return s.Buffer.Write(p)
}

func TestEachLineAtItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stamps{start: time.Now()}
		p := pacer.New(pacer.Every(100*time.Millisecond), pacer.WithDebt())
		in := "a\n\nlong line\nlast"
		if _, err := pipe.Run(t.Context(), input.New(bytes.NewBufferString(in)), out, options(p, 1, 1)); err != nil {
			t.Fatal(err)
		}
		if out.String() != in {
			t.Errorf("%q became %q", in, out.String())
		}
		for i, at := range out.at {
			if want := time.Duration(i) * 100 * time.Millisecond; at != want {
				t.Errorf("line %d at %v, want %v", i, at, want)
			}
		}
	})
}

func TestAnyInputAnyChunksNothingIsLost(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			data := make([]byte, rng.IntN(200_000))
			density := 1 + rng.IntN(100_000)
			for i := range data {
				data[i] = 'x'
				if rng.IntN(density) == 0 {
					data[i] = '\n'
				}
			}
			p := pacer.New(pacer.Every(time.Microsecond), pacer.WithDebt())
			o := options(p, 1+rng.IntN(500), 1+rng.IntN(10))
			o.Bytes = rng.IntN(4) == 0
			out := &stamps{start: time.Now()}
			if rng.IntN(2) == 0 {
				out.err, out.limit = errors.New("broken"), rng.IntN(50)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			if rng.IntN(2) == 0 {
				time.AfterFunc(time.Duration(rng.IntN(2000))*time.Microsecond, func() { cancel(errors.New("stop")) })
			}
			src := io.Reader(bytes.NewReader(data))
			if rng.IntN(3) == 0 {
				src = iotest.HalfReader(src)
			}
			in := input.New(src)
			unsent, err := pipe.Run(ctx, in, out, o)
			var rest bytes.Buffer
			if _, drainErr := in.Rest(t.Context(), &rest, 1<<30); drainErr != nil {
				t.Errorf("seed %d: %v", seed, drainErr)
			}
			all := out.String() + string(unsent) + rest.String()
			if all != string(data) {
				t.Errorf("seed %d: of %d bytes %d were written, %d unsent, %d not read (%v)", seed, len(data), out.Len(), len(unsent), rest.Len(), err)
			}
			cancel(nil)
		})
		if t.Failed() {
			return
		}
	}
}

func TestAReadErrorIsOne(t *testing.T) {
	broken := errors.New("broken")
	in := input.New(io.MultiReader(bytes.NewBufferString("a\nb"), iotest.ErrReader(broken)))
	var out bytes.Buffer
	unsent, err := pipe.Run(t.Context(), in, &out, options(pacer.New(pacer.Unlimited(), pacer.WithDebt()), 1, 1))
	if !errors.Is(err, broken) || out.String() != "a\n" || string(unsent) != "b" {
		t.Errorf("wrote %q, unsent %q, %v", out.String(), unsent, err)
	}
}

// A held writer looks at what it was given once it is let go.
type held struct {
	bytes.Buffer
	gate chan struct{}
}

func (h *held) Write(p []byte) (int, error) {
	<-h.gate
	return h.Buffer.Write(p)
}

func TestAWriteThatIsGivenUpStillHasItsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunk = 64 << 10
		first, rest := bytes.Repeat([]byte("A"), chunk), bytes.Repeat([]byte("B"), 4*chunk)
		in := input.New(io.MultiReader(bytes.NewReader(first), bytes.NewReader(rest)))
		out := &held{gate: make(chan struct{})}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("stop")) })
		unsent, err := pipe.Run(ctx, in, out, pipe.Options{Delim: '\n'})
		if err == nil || !bytes.Equal(unsent, first) {
			t.Errorf("%v, %d bytes unsent", err, len(unsent))
		}
		var left bytes.Buffer
		if _, err := in.Rest(t.Context(), &left, input.All); err != nil || !bytes.Equal(left.Bytes(), rest) {
			t.Errorf("%v, %d bytes left", err, left.Len())
		}
		close(out.gate) // the consumer reads again
		synctest.Wait()
		if !bytes.Equal(out.Bytes(), first) {
			t.Error("what was given up was written over before it was written")
		}
	})
}
