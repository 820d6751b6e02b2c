package progress

import (
	"os"

	"golang.org/x/sys/windows"
)

// IsTerminal reports whether a file is one.
func IsTerminal(f *os.File) bool {
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}

// canDraw reports whether a terminal understands sequences that move its cursor.
func canDraw(f *os.File, term string) bool {
	if term == "dumb" {
		return false
	}
	mode, ok := understanding(f)
	if ok {
		_ = windows.SetConsoleMode(windows.Handle(f.Fd()), mode) // as it was
	}
	return ok
}

// understanding makes a terminal understand sequences, and returns its mode before.
func understanding(f *os.File) (before uint32, ok bool) {
	h := windows.Handle(f.Fd())
	if windows.GetConsoleMode(h, &before) != nil {
		return 0, false
	}
	return before, windows.SetConsoleMode(h, before|windows.ENABLE_PROCESSED_OUTPUT|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

// enable gets a terminal ready to be drawn on. It returns what takes that back.
func enable(f *os.File) (restore func()) {
	before, ok := understanding(f)
	return func() {
		if ok {
			_ = windows.SetConsoleMode(windows.Handle(f.Fd()), before)
		}
	}
}

// look looks at a terminal.
func look(f *os.File) view {
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info) != nil {
		return view{}
	}
	return view{
		width:  int(info.Window.Right-info.Window.Left) + 1,
		height: int(info.Window.Bottom-info.Window.Top) + 1,
	}
}
