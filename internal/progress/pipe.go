package progress

import (
	"io"
	"os"
	"time"
)

// A passer writes to a pipe. Where its other end is read by one who writes to the terminal, as in "| cat", the bar is taken
// away before.
type passer struct {
	screen *Screen
	file   io.Writer
	shares func() bool
}

// Write writes p, of which the other one makes something like it.
func (w *passer) Write(p []byte) (int, error) {
	s := w.screen
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(p) == 0 || !w.shares() {
		return w.file.Write(p)
	}
	if v := s.looked(); v != s.view && s.bar != "" {
		s.render(v)
	}
	at := s.unwrap(p)
	buf := s.erase(s.buf[:0])
	if at >= 0 { // what is before that only changes the looks
		buf = s.up(buf)
	}
	s.send(buf)
	n, err := w.file.Write(p)
	s.cursor.write(p, s.view.width)
	s.piped = time.Now()
	if s.late == nil {
		s.late = time.AfterFunc(passing, s.passed)
	} else {
		s.late.Reset(passing)
	}
	return n, err
}

// passed puts the bar back when the other one has had its time: redraw may come much later.
func (s *Screen) passed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.shown == nowhere && time.Since(s.piped) >= passing && s.cursor.settled() {
		s.send(s.paint(s.buf[:0]))
	}
}

// isPipe reports whether a file is a pipe.
func isPipe(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
