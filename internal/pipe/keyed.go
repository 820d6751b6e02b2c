package pipe

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/throttle-cli/throttle/internal/lanes"
)

// A Line is a record that waits for a grant of its own.
type Line struct {
	Data string // with its delimiter
	Key  string // lines of a key stay in order
	// Wait waits for a grant of the line.
	Wait func(context.Context) error
}

// A waiting Line has its number in the input.
type waiting struct {
	Line
	n int
}

// Keyed writes each line that next returns once it has its grant: those of a key in order, and none waits for one of another
// key. Ahead is how many may be read and wait. It returns as Run does: io.EOF of next is the end of the input. What is
// unsent is in the order of the input.
func Keyed(ctx context.Context, next func(context.Context) (Line, error), ahead int, out io.Writer) (unsent []byte, err error) {
	n := 0
	wait := func(ctx context.Context, l waiting) error {
		err := l.Wait(ctx)
		if err != nil && context.Cause(ctx) == nil {
			err = &AskError{Err: err}
		}
		return err
	}
	all := lanes.New(ctx, lanes.Options[waiting, struct{}]{
		Take: func(ctx context.Context) (waiting, error) {
			l, err := next(ctx)
			n++
			return waiting{l, n}, err
		},
		Key:   func(l waiting) string { return l.Key },
		Wait:  func(ctx context.Context, l waiting) (struct{}, error) { return struct{}{}, wait(ctx, l) },
		Pass:  wait,
		Ahead: ahead,
	})
	w := newWriter(out)
	defer close(w.data)
	for {
		h, err := all.Next()
		if err == nil {
			var rest []byte
			if rest, err = w.write(ctx, []byte(h.Item.Data)); err == nil {
				continue
			}
			h.Item.Data = string(rest)
		}
		left := all.Rest()
		if h.Item.Data != "" {
			left = append(left, h.Item)
		}
		slices.SortFunc(left, func(a, b waiting) int { return cmp.Compare(a.n, b.n) })
		for _, l := range left {
			unsent = append(unsent, l.Data...)
		}
		if err == io.EOF && len(unsent) == 0 { //nolint:errorlint // it is the end, and no error that has one in it
			return nil, nil
		}
		return unsent, err
	}
}
