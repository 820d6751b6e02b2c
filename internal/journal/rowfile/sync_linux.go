package rowfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData brings the rows to the disk, and of the file's attributes what is needed to find them.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			syncErr = unix.Fdatasync(int(fd))
			if !errors.Is(syncErr, unix.EINTR) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return syncErr
}
