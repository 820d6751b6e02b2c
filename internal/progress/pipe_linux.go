package progress

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// mostPipes is how many pipes are followed: a | b | c.
const mostPipes = 8

// writesTo reports whether one who reads a pipe, or reads what that one writes to another pipe, writes to the terminal. It
// does so where that can't be found out.
func writesTo(pipe *os.File, terminal io.Writer) bool {
	t, ok := terminal.(*os.File)
	if !ok {
		return true
	}
	info, err := t.Stat()
	if err != nil {
		return true
	}
	device, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(pipe.Fd())))
	if err != nil {
		return true
	}
	for range mostPipes {
		reader, ok := readerOf(link)
		if !ok {
			return true
		}
		out := filepath.Join(reader, "1")
		if s, err := os.Stat(out); err == nil {
			if st, ok := s.Sys().(*syscall.Stat_t); ok && st.Mode&syscall.S_IFMT == syscall.S_IFCHR && st.Rdev == device.Rdev {
				return true
			}
		}
		link, _ = os.Readlink(out) // of one that is gone there is none
		if !strings.HasPrefix(link, "pipe:") {
			return false
		}
	}
	return true
}

// readerOf returns the folder with the descriptors of another process that has a pipe as its stdin.
func readerOf(link string) (fds string, ok bool) {
	stdins, err := filepath.Glob("/proc/[0-9]*/fd/0")
	if err != nil {
		return "", false
	}
	for _, path := range stdins {
		if l, err := os.Readlink(path); err == nil && l == link {
			return filepath.Dir(path), true
		}
	}
	return "", false
}
