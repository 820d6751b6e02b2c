package feedback

import (
	"io"
	"slices"
)

// WindowSize is how much of the start of a stream is kept, and how much of its end.
const WindowSize = 64 << 10

// A Window passes a stream on to another writer, and keeps its first and its last WindowSize bytes: errors are at the end
// of an output, and headers at its start. It takes twice that in memory at most, four times once it was read, and nothing for
// a stream with nothing in it. The zero value passes on nothing. A nil *Window can be read, and has nothing.
//
// A Window is used by one goroutine at a time.
type Window struct {
	next  io.Writer
	first []byte
	last  []byte // a ring, once it is full
	at    int    // where the ring begins
	cut   bool   // whether something between first and last is gone
	whole []byte // what Bytes has put together, until the next Write
}

// NewWindow returns a Window that passes on to next, or nowhere if next is nil.
func NewWindow(next io.Writer) *Window { return &Window{next: next} }

// Write keeps what there is to keep of p and passes p on. It returns what the next writer returns.
func (w *Window) Write(p []byte) (int, error) {
	w.keep(p)
	if w.next == nil {
		return len(p), nil
	}
	return w.next.Write(p)
}

func (w *Window) keep(p []byte) {
	w.whole = nil
	n := min(len(p), WindowSize-len(w.first))
	w.first, p = append(w.first, p[:n]...), p[n:]
	if len(p) == 0 {
		return
	}
	if len(p) >= WindowSize {
		w.cut = w.cut || len(w.last) > 0 || len(p) > WindowSize
		w.last, w.at = append(w.last[:0], p[len(p)-WindowSize:]...), 0
		return
	}
	n = min(len(p), WindowSize-len(w.last))
	w.last, p = append(w.last, p[:n]...), p[n:]
	for len(p) > 0 {
		n = copy(w.last[w.at:], p)
		w.at, p = (w.at+n)%WindowSize, p[n:]
		w.cut = true
	}
}

// Bytes returns what is kept of the stream. Where something between start and end is gone, a line end is in its place. It's
// valid until the next Write.
func (w *Window) Bytes() []byte {
	if w == nil {
		return nil
	}
	if len(w.last) == 0 {
		return w.first
	}
	if w.whole == nil {
		var gap []byte
		if w.cut {
			gap = []byte("\n")
		}
		w.whole = slices.Concat(w.first, gap, w.last[w.at:], w.last[:w.at])
	}
	return w.whole
}
