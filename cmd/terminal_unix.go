//go:build unix

package cmd

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether a file is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}
