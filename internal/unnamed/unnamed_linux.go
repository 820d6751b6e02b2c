package unnamed

import (
	"os"

	"golang.org/x/sys/unix"
)

// New returns a file in the folder that never has a name, so that nothing is left of it whenever we are killed. An empty
// dir is that of temporary files.
func New(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil { // not every file system can
		return named(dir)
	}
	return os.NewFile(uintptr(fd), dir+"/(unnamed)"), nil
}
