package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/throttle-cli/throttle/internal/record"
)

func in(name string, r io.Reader) record.Input { return record.Input{Name: name, Reader: r} }

func TestRecords(t *testing.T) {
	r := record.NewReader('\n', in("one", strings.NewReader("a\r\n\n\xff\x00")), in("two", strings.NewReader("")), in("three", strings.NewReader("b\n")))
	for _, want := range []record.Record{
		{Raw: "a\r\n", Text: "a\r", File: "one", Line: 1},
		{Raw: "\n", Text: "", File: "one", Line: 2},
		{Raw: "\xff\x00\n", Text: "\xff\x00", File: "one", Line: 3}, // with an end, since more follows
		{Raw: "b\n", Text: "b", File: "three", Line: 1},
	} {
		if got, err := r.Next(t.Context()); got != want || err != nil {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	for range 2 {
		if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
	}
}

func TestALongRecordIsWhole(t *testing.T) {
	long := strings.Repeat("x", 10<<20)
	r := record.NewReader('\n', in("in", strings.NewReader(long+"\nnext")))
	for _, want := range []string{long, "next"} {
		if got, err := r.Next(t.Context()); err != nil || got.Text != want {
			t.Fatalf("%d bytes, %v; want %d", len(got.Text), err, len(want))
		}
	}
}

func TestNothingIsLostWhereverItStops(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var all bytes.Buffer
		var inputs []record.Input
		for n := 1 + rng.IntN(3); n > 0; n-- {
			data := make([]byte, rng.IntN(300_000))
			density := 1 + rng.IntN(50_000)
			for i := range data {
				data[i] = 'x'
				if rng.IntN(density) == 0 {
					data[i] = '\n'
				}
			}
			all.Write(data)
			if len(data) > 0 && data[len(data)-1] != '\n' && n > 1 {
				all.WriteByte('\n') // the last line of an input does not grow together with the next one
			}
			var src io.Reader = bytes.NewReader(data)
			if rng.IntN(2) == 0 {
				src = iotest.HalfReader(src)
			}
			inputs = append(inputs, in("in", src))
		}
		r := record.NewReader('\n', inputs...)
		ctx, cancel := context.WithCancel(t.Context())
		var got bytes.Buffer
		for n := rng.IntN(30); n >= 0; n-- {
			if n == 0 {
				cancel()
			}
			next, err := r.Next(ctx)
			if err != nil {
				break
			}
			got.WriteString(next.Raw)
		}
		cancel()
		if complete, err := r.Rest(t.Context(), &got, 1<<30); !complete || err != nil {
			t.Fatalf("seed %d: %v, %v", seed, complete, err)
		}
		if !bytes.Equal(got.Bytes(), all.Bytes()) {
			t.Fatalf("seed %d: %d bytes of %d", seed, got.Len(), all.Len())
		}
	}
}

func TestRestIsBounded(t *testing.T) {
	r := record.NewReader('\n', in("in", strings.NewReader(strings.Repeat("y\n", 1<<20))))
	var got bytes.Buffer
	if complete, err := r.Rest(t.Context(), &got, 1000); complete || err != nil || got.Len() < 1000 || got.Len() > 1000+64<<10 {
		t.Errorf("%v, %v, %d bytes", complete, err, got.Len())
	}
}

func TestErrorsNameTheInput(t *testing.T) {
	broken := errors.New("broken")
	r := record.NewReader('\n', in("bad.txt", io.MultiReader(strings.NewReader("a\npart"), iotest.ErrReader(broken))))
	if got, err := r.Next(t.Context()); err != nil || got.Text != "a" {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := r.Next(t.Context())
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "bad.txt") {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	if _, err := record.File(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := record.File(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
