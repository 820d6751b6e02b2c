package lanes_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/throttle-cli/throttle/internal/lanes"
)

// Those that go before the others, as they were run before, keep their order among themselves.
func TestThoseThatGoFirstKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := strings.Fields("a b c again1 again2 d again3")
		free := make(chan struct{})
		l := lanes.New(t.Context(), lanes.Options[string, struct{}]{
			Take: func(context.Context) (it string, err error) {
				if len(items) == 0 {
					return "", io.EOF
				}
				it, items = items[0], items[1:]
				return it, nil
			},
			Key:   func(string) string { return "" },
			Wait:  func(context.Context, string) (g struct{}, err error) { <-free; return g, nil },
			Pass:  func(context.Context, string) error { return nil },
			First: func(it string) bool { return strings.HasPrefix(it, "again") },
			Ahead: 10,
		})
		go func() {
			synctest.Wait() // all of them wait behind the first
			close(free)
		}()
		var got []string
		for {
			g, err := l.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			got = append(got, g.Item)
		}
		if want := strings.Fields("a again1 again2 again3 b c d"); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
