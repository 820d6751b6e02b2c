package rowfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T) (f *File, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "rows")
	f, err := Open(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, path
}

func write(t *testing.T, f *File, rows ...string) {
	t.Helper()
	for _, row := range rows {
		if err := f.Append([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
}

// tear lets a part of a row be there, as if the disk had been full.
func tear(t *testing.T, f *File, part string) {
	t.Helper()
	if _, err := f.f.WriteString(part); err != nil {
		t.Fatal(err)
	}
	f.torn = []byte(part)
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestATornRowIsCutOffBeforeTheNext(t *testing.T) {
	f, path := open(t)
	write(t, f, "one\n")
	tear(t, f, "tw")
	write(t, f, "three\n")
	if got := contents(t, path); got != "one\nthree\n" {
		t.Errorf("%q", got)
	}
	tear(t, f, "fo")
	if _, err := f.f.WriteString("another's\n"); err != nil {
		t.Fatal(err)
	}
	var w *WriteError
	if err := f.Append([]byte("five\n")); !errors.As(err, &w) || w.Rows != 2 || !strings.Contains(err.Error(), "another process has written") {
		t.Errorf("%v", err)
	}
	if got := contents(t, path); got != "one\nthree\nfoanother's\n" {
		t.Errorf("%q", got)
	}
}

func TestADiskThatFails(t *testing.T) {
	f, path := open(t)
	write(t, f, "one\n", "two\n", "three\n")
	broken := errors.New("broken")
	f.mu.Lock()
	f.failed = broken
	f.synced = 2
	f.mu.Unlock()
	var w *WriteError
	if err := f.Append([]byte("four\n")); !errors.As(err, &w) || w.Rows < 2 || w.Rows > 3 || !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if err := f.Close(); !errors.Is(err, broken) {
		t.Errorf("Close: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

func TestOneWriter(t *testing.T) {
	f, path := open(t)
	_, err := Open(path, 0o600)
	var p *fs.PathError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &p) || p.Path != path {
		t.Errorf("%v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.AppendHeader([]byte("head\n")); err != nil || again.rows != 0 {
		t.Errorf("%v, %d rows", err, again.rows)
	}
	write(t, again, "one\n")
	if err := again.Close(); err != nil || again.synced != 1 {
		t.Errorf("%v, %d rows are on the disk", err, again.synced)
	}
	if err := again.Append([]byte("two\n")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("%v", err)
	}
}
