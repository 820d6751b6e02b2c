//go:build unix

package journal_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/throttle-cli/throttle/internal/journal"
)

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullHelper$")
	cmd.Env = append(os.Environ(), "JOURNAL_HELPER=full", "JOURNAL_PATH="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestFullHelper is another process: it writes to a file that can't become longer than that.
func TestFullHelper(t *testing.T) {
	if os.Getenv("JOURNAL_HELPER") != "full" {
		return
	}
	path := os.Getenv("JOURNAL_PATH")
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	j := open(t, path, false)
	before := syscall.Rlimit{}
	check(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	limit := before
	limit.Cur = 1000
	check(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	rows := 1 // that of the run
	var err error
	for err == nil {
		err = j.Stop(journal.Stop{Reason: strings.Repeat("x", 100)})
		rows++
	}
	rows--
	var w *journal.WriteError
	if !errors.As(err, &w) || w.Rows != rows || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("%v; %d rows were written", err, rows)
	}
	whole := func() {
		t.Helper()
		text := contents(t, path)
		if strings.Count(text, "\n") != rows || !strings.HasSuffix(text, "}\n") {
			t.Errorf("%d rows: %q", rows, text)
		}
	}
	whole()
	if err := j.Stop(journal.Stop{Reason: strings.Repeat("y", 100)}); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("again: %v", err)
	}
	whole()
	check(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before), j.Stop(journal.Stop{Reason: "there is room"}), j.Close())
	rows++
	whole()
	if again := open(t, path, true); again.Repaired() != "" {
		t.Error(again.Repaired())
	}
}
