package output

import (
	"os"

	"golang.org/x/sys/unix"
)

// unnamed returns a file that never has a name, so that nothing is left of it whenever we are killed.
func unnamed(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil { // not every file system can
		return named(dir)
	}
	return os.NewFile(uintptr(fd), dir+"/(unnamed)"), nil
}
