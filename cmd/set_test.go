//go:build linux || darwin

package cmd

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/throttle-cli/throttle/lockfile"
)

// Two that change different things of a limit at the same time have both done so.
func TestNoSetIsLost(t *testing.T) {
	path := t.TempDir() + "/f"
	set := func(flags string) {
		var stderr bytes.Buffer
		args := append([]string{"set", "--state", path}, strings.Fields(flags)...)
		if code := Main("", args, strings.NewReader(""), &stderr, &stderr); code != 0 {
			t.Errorf("%q: %d, %s", args, code, &stderr)
		}
	}
	set("--rate 1/h --burst 1")
	for i := 2; i < 200 && !t.Failed(); i++ {
		var wg sync.WaitGroup
		wg.Go(func() { set(fmt.Sprintf("--rate %d/h", i)) })
		wg.Go(func() { set(fmt.Sprintf("--burst %d", i)) })
		wg.Wait()
		s, err := lockfile.Read(path)
		if want := fmt.Sprintf("%d/h,burst=%d", i, i); err != nil || s.Limits.String() != want {
			t.Errorf("%v, want %s; %v", s.Limits, want, err)
		}
	}
}
