package pipe

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/throttle-cli/throttle/internal/lanes"
)

// A Line is a record that waits for a grant of its own.
type Line struct {
	Data string // with its delimiter; the last one of the input may have none
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
// unsent is in the order of the input. A line without a delimiter that is not the last one to be written gets delim, or two lines
// would be one.
func Keyed(ctx context.Context, next func(context.Context) (Line, error), ahead int, delim byte, out io.Writer) (unsent []byte, err error) {
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
	open := false // whether what was written last has no delimiter
	for {
		h, err := all.Next()
		if err == nil {
			data := []byte(h.Item.Data)
			if open {
				data = append([]byte{delim}, data...)
			}
			open = !strings.HasSuffix(h.Item.Data, string([]byte{delim}))
			var rest []byte
			if rest, err = w.write(ctx, data); err == nil {
				continue
			}
			h.Item.Data = h.Item.Data[max(len(h.Item.Data)-len(rest), 0):]
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
