package pipe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/pipe"
	"github.com/throttle-cli/throttle/pacer"
)

// A keyedInput has lines "KEY NUMBER", each of which waits for the pacer of its key.
type keyedInput struct {
	keys   []string // of the lines
	pacers map[string]*pacer.Pacer
	read   int
	err    error // what comes behind the last line; nil is io.EOF
	open   bool  // whether the last line has no newline
}

func newKeyedInput(limits map[string]pacer.Limit, keys ...string) *keyedInput {
	in := &keyedInput{keys: keys, pacers: map[string]*pacer.Pacer{}}
	for key, limit := range limits {
		in.pacers[key] = pacer.New(limit)
	}
	return in
}

func (in *keyedInput) data(n int) string { return fmt.Sprintf("%s %d\n", in.keys[n], n) }

func (in *keyedInput) next(context.Context) (pipe.Line, error) {
	if in.read == len(in.keys) {
		if in.err != nil {
			return pipe.Line{}, in.err
		}
		return pipe.Line{}, io.EOF
	}
	in.read++
	key := in.keys[in.read-1]
	data := in.data(in.read - 1)
	if in.open && in.read == len(in.keys) {
		data = strings.TrimSuffix(data, "\n")
	}
	return pipe.Line{Data: data, Key: key, Wait: in.pacers[key].Wait}, nil
}

// 3 keys with rates of 1, 10 and 100 a second mixed in one input: each at its own rate and in order, and all in the time that the
// slowest takes alone.
func TestKeysMixedInOneInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		for i := range 500 {
			keys = append(keys, "100")
			if i%10 == 0 {
				keys = append(keys, "10")
			}
			if i%100 == 0 {
				keys = append(keys, "1")
			}
		}
		in := newKeyedInput(map[string]pacer.Limit{"1": pacer.Per(1, time.Second), "10": pacer.Per(10, time.Second), "100": pacer.Per(100, time.Second)}, keys...)
		out := &stamps{start: time.Now()}
		if _, err := pipe.Keyed(t.Context(), in.next, len(keys), '\n', out); err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		last := map[string]int{}
		for i, line := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
			key, number, _ := strings.Cut(line, " ")
			rate, _ := strconv.Atoi(key)
			if want := time.Duration(count[key]) * time.Second / time.Duration(rate); out.at[i] != want {
				t.Fatalf("line %q, number %d of its key, at %v, want %v", line, count[key], out.at[i], want)
			}
			n, _ := strconv.Atoi(number)
			if count[key] > 0 && n <= last[key] {
				t.Fatalf("line %q behind line %d", line, last[key])
			}
			count[key]++
			last[key] = n
		}
		if took := time.Since(out.start); took != 4990*time.Millisecond {
			t.Errorf("took %v: the slowest key alone takes 4.99 s", took)
		}
	})
}

// However it ends, each line is either written or unsent, and what is unsent is in the order of the input.
func TestNoLineWithAKeyIsLost(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			limits := map[string]pacer.Limit{}
			for i := range 1 + rng.IntN(5) {
				limits[strconv.Itoa(i)] = pacer.Every(time.Duration(1+rng.IntN(100)) * time.Millisecond)
			}
			var keys []string
			for range 50 {
				keys = append(keys, strconv.Itoa(rng.IntN(len(limits))))
			}
			in := newKeyedInput(limits, keys...)
			in.open = rng.IntN(2) == 0
			out := &stamps{start: time.Now()}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			broken := errors.New("broken")
			switch rng.IntN(4) {
			case 0:
				time.AfterFunc(time.Duration(rng.IntN(500))*time.Millisecond, func() { cancel(broken) })
			case 1:
				out.err, out.limit = broken, rng.IntN(50)
			case 2:
				in.err = broken
			case 3:
				in.pacers["0"].Close()
				broken = pacer.ErrClosed
			}
			unsent, err := pipe.Keyed(ctx, in.next, 1+rng.IntN(60), '\n', out)
			if !errors.Is(err, broken) && (err != nil || len(unsent) > 0) {
				t.Fatalf("seed %d: %v, unsent %q", seed, err, unsent)
			}
			seen := map[string]int{}
			for line := range strings.SplitSeq(out.String(), "\n") {
				seen[line+"\n"]++
			}
			last := -1
			for line := range strings.SplitSeq(string(unsent), "\n") {
				seen[line+"\n"]++
				if _, number, ok := strings.Cut(line, " "); ok {
					n, _ := strconv.Atoi(number)
					if n <= last {
						t.Fatalf("seed %d: unsent line %d behind line %d", seed, n, last)
					}
					last = n
				}
			}
			for n := range in.read {
				if seen[in.data(n)] != 1 {
					t.Fatalf("seed %d: line %d is there %d times, err %v", seed, n, seen[in.data(n)], err)
				}
			}
		})
	}
}
