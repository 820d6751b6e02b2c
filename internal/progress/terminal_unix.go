//go:build unix

package progress

import (
	"os"

	"golang.org/x/sys/unix"
)

// IsTerminal reports whether a file is one.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// canDraw reports whether a terminal, whose kind is named by TERM, can move its cursor.
func canDraw(_ *os.File, term string) bool { return term != "" && term != "dumb" }

// enable gets a terminal ready to be drawn on. It returns what takes that back.
func enable(*os.File) (restore func()) { return func() {} }

// look looks at a terminal.
func look(f *os.File) view {
	var v view
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
		v.width, v.height = int(size.Col), int(size.Row)
	}
	if group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP); err == nil { // else it is not the one we belong to
		v.background = group != unix.Getpgrp()
	}
	return v
}
