package cmd

import (
	"os"

	"golang.org/x/sys/windows"
)

// isTerminal reports whether a file is one.
func isTerminal(f *os.File) bool {
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}
