//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package rowfile

import (
	"errors"
	"os"
)

const (
	appendFlag   = os.O_APPEND
	seekToAppend = false
)

// lock returns an error: two processes that write one file would mix it up.
func lock(*os.File) error { return errors.ErrUnsupported }

// Alive reports whether there may be a process of that number.
func Alive(pid int) bool { return pid > 0 }
