package lockfile

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of that size.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=700,size="+strconv.Itoa(size)); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := smallDisk(t, 64<<10)
	h := newHost()
	path := dir + "/f"
	u := h.open(t, path, perMinute())
	u.grants()
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("making a file system read-only: %v", err)
	}
	for _, name := range []string{path, dir + "/g"} {
		if _, err := Open(name, "key", perMinute()); !errors.Is(err, unix.EROFS) {
			t.Errorf("%v", err)
		}
	}
	if s, err := Read(path); err != nil || s.Grants != 1 {
		t.Errorf("reading a read-only file: %+v, %v", s, err)
	}
}

// noGrowth keeps the files of this process from growing beyond a page.
func noGrowth() error {
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: pageSize, Max: pageSize})
}

func full(err error) bool { return errors.Is(err, unix.ENOSPC) }

// fill writes to a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !full(err) {
		t.Fatal(err)
	}
}

// asNobody runs f on a thread that has the permissions of nobody.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	})
	wg.Wait()
}

func TestOffsetOfATimeNamespace(t *testing.T) {
	if got := bootOffset("monotonic           0         0\nboottime       86400     5\n"); got != 86400e9+5 {
		t.Errorf("%d", got)
	}
	for _, bad := range []string{"", "boottime", "boottime x y", "garbage\n\n"} {
		if got := bootOffset(bad); got != 0 {
			t.Errorf("%q: %d", bad, got)
		}
	}
}

func TestQuickClock(t *testing.T) {
	var c quickClock
	check := func(when string) {
		t.Helper()
		before := c.slow()
		now, wall := c.now()
		if after := c.slow(); now < before-int64(quickMost) || now > after {
			t.Errorf("%s: %d, between %d and %d", when, now, before, after)
		}
		if ahead := wall - time.Now().UnixNano(); ahead > 0 {
			t.Errorf("%s: the wall clock is %d ns ahead", when, ahead)
		}
	}
	known := 0
	for range 10_000 {
		check("running")
		if c.known {
			known++
		}
	}
	if known == 0 {
		t.Error("it was always read by a system call")
	}
	for _, d := range []int64{1e4, 1e6, 3600e9} {
		for range 100 {
			check("before")
			c.boot, c.wall = c.boot-d, c.wall-d // as if d had passed in suspend since
			check("after suspend")
			c.wall += d
			check("after a step of the wall clock")
			c.wall -= 2 * d
			check("after a step back")
		}
	}
}
