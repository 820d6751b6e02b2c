package progress

import (
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

// Mode says how progress is shown.
type Mode int

// The modes.
const (
	Off   Mode = iota
	Lines      // a line now and then
	Bar        // a bar on the last line of the terminal
)

// Choose returns the mode that fits stderr: Bar if that is a terminal on which one can be drawn, else Lines.
func Choose(stderr io.Writer, getenv func(string) string) Mode {
	if f, ok := stderr.(*os.File); ok && IsTerminal(f) && canDraw(f, getenv("TERM")) {
		return Bar
	}
	return Lines
}

// Options say what is shown, and how.
type Options struct {
	Mode  Mode
	State func() State        // called by one goroutine at a time, ten times a second at the most
	Every time.Duration       // between two Lines
	Say   func(State)         // says one of the Lines; nil writes it to stderr
	Env   func(string) string // the environment, for NO_COLOR
	// Terminal, when set, is what stderr is taken for with Bar. It is asked about itself otherwise.
	Terminal *Terminal
}

// A Terminal is where a Bar is drawn.
type Terminal struct {
	Size   func() (width, height int) // 0 where it is not known
	Stdout bool                       // whether stdout goes there too
	Piped  bool                       // whether stdout is a pipe to one who writes there
}

// A Screen shows progress on stderr, and shares it with what else is written there.
//
// The cursor stays where the output goes on. The bar is drawn from there on, if that is the start of a line, else on the
// row below, and the cursor goes back. So what the bar has covered, however often the terminal has changed its size since,
// is behind the cursor, where it can be erased, and the rest of the screen is not touched.
type Screen struct {
	o              Options
	stdout, stderr io.Writer
	terminal       io.Writer
	look           func() view
	color          bool
	restore        func()
	stop           chan struct{}
	tasks          sync.WaitGroup
	close          sync.Once

	mu      sync.Mutex
	closed  bool
	state   State
	bar     string // of the state; none before the first one
	view    view   // for which it was drawn
	shown   place
	cursor  cursor
	wrapped bool        // whether the cursor has been moved to the next row, at which an unfinished line goes on
	written time.Time   // when output came last
	piped   time.Time   // when some of it went to one who writes to the terminal
	late    *time.Timer // puts the bar back after that
	painted time.Time   // when the bar was put back last, after it
	buf     []byte
}

// A view is what can be seen of a terminal.
type view struct {
	width, height int
	background    bool // it is for others to write to
}

// A place is where the bar is.
type place int

const (
	nowhere place = iota
	here          // where the cursor is, at the start of a row
	below         // on the row below
)

const (
	// every is how often the bar is drawn.
	every = 100 * time.Millisecond
	// apart is how long it is left out, at the least, after a write that put it back: each time costs the terminal as much as
	// a few lines of output, and a slow line 100 bytes.
	apart = time.Millisecond
	// unsettled is for how long nothing is drawn in the midst of a character, or of a sequence, whose end has not come.
	unsettled = time.Second
	// passing is how long one who reads our stdout from a pipe is given to write what it makes of it to the terminal. Until
	// then nothing is drawn there.
	passing = 30 * time.Millisecond
	// closing is for how long Close waits for a terminal that takes nothing.
	closing = time.Second
	// keepBuffer is the size from which on a buffer is not kept.
	keepBuffer = 256 << 10
)

// Show begins to show progress, and ends with Close. What others write to stdout and stderr until then goes through the
// writers of the Screen. A job that writes to the terminal by itself spoils a Bar.
func Show(stdout, stderr io.Writer, o Options) *Screen {
	s := &Screen{o: o, stdout: stdout, stderr: stderr, terminal: stderr, restore: func() {}, stop: make(chan struct{})}
	switch o.Mode {
	case Lines:
		s.tasks.Go(s.lines)
	case Bar:
		s.color = o.Env("NO_COLOR") == ""
		var out, same, piped bool
		if t := o.Terminal; t != nil {
			s.look = func() view {
				width, height := t.Size()
				return view{width: width, height: height}
			}
			out, same, piped = t.Stdout, t.Stdout, t.Piped
		} else {
			out, same = s.open()
		}
		s.view = s.looked()
		s.stderr = &writer{s, stderr, true}
		switch {
		case out:
			s.stdout = &writer{s, stdout, same}
		case piped:
			s.stdout = &passer{screen: s, file: stdout, shares: func() bool { return true }}
		default:
			if p, ok := stdout.(*os.File); ok && isPipe(p) {
				s.stdout = &passer{screen: s, file: stdout, shares: sync.OnceValue(func() bool { return writesTo(p, stderr) })}
			}
		}
		s.tasks.Go(s.redraw)
	}
	return s
}

// open gets stderr ready. It returns whether stdout is a terminal, and whether it is the same one.
func (s *Screen) open() (out, same bool) {
	f, ok := s.stderr.(*os.File)
	if !ok {
		s.look = func() view { return view{} }
		return false, false
	}
	s.look = func() view { return look(f) }
	s.restore = enable(f)
	stdout, ok := s.stdout.(*os.File)
	if !ok || !IsTerminal(stdout) {
		return false, false
	}
	a, err := f.Stat()
	b, err2 := stdout.Stat()
	return true, err == nil && err2 == nil && os.SameFile(a, b)
}

// Stdout returns what is to be written to in the place of stdout: stdout itself, unless it is a terminal with a bar, or a
// pipe.
func (s *Screen) Stdout() io.Writer { return s.stdout }

// Stderr returns what is to be written to in the place of stderr: stderr itself, unless it is a terminal with a bar.
func (s *Screen) Stderr() io.Writer { return s.stderr }

// Close ends showing progress: the bar is gone and a line begins, or the last of the Lines is written. The writers of the
// Screen go on to work. A terminal that takes nothing is left as it is. Close may be called again.
func (s *Screen) Close() {
	s.close.Do(func() {
		close(s.stop)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			s.tasks.Wait()
			s.end()
		}()
		select {
		case <-closed:
		case <-time.After(closing):
		}
	})
}

func (s *Screen) end() {
	switch s.o.Mode {
	case Lines:
		s.line()
	case Bar:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		buf := s.erase(nil)
		if s.cursor.line && !s.wrapped {
			buf = append(buf, "\r\n"...)
		}
		s.send(buf)
		s.restore()
	}
}

func (s *Screen) lines() {
	t := time.NewTicker(s.o.Every)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.line()
		}
	}
}

func (s *Screen) line() {
	state := s.o.State()
	if s.o.Say != nil {
		s.o.Say(state)
		return
	}
	_, _ = io.WriteString(s.stderr, "throttle: "+state.Line()+"\n") // there is nobody else to tell
}

func (s *Screen) redraw() {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.draw(s.o.State())
		}
	}
}

// draw draws the bar of a state, if that changes it.
func (s *Screen) draw(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, view := s.bar, s.view
	s.state = state
	s.render(s.looked())
	if s.shown != nowhere && s.bar == before && s.view == view {
		return
	}
	if time.Since(s.piped) < passing {
		return
	}
	if s.cursor.settled() || time.Since(s.written) >= unsettled {
		s.send(s.paint(s.buf[:0]))
	}
}

// looked looks at the terminal.
func (s *Screen) looked() view {
	v := s.look()
	if v.width <= 0 {
		v.width = 80
	}
	if v.height <= 0 {
		v.height = 24
	}
	if v.background {
		s.shown = nowhere // who has the terminal now has gone on below it
	}
	return v
}

func (s *Screen) render(v view) {
	s.view = v
	s.bar = s.state.Bar(v.width-1, s.color)
}

// send writes to the terminal. There is nobody else to tell of an error.
func (s *Screen) send(buf []byte) {
	s.keep(buf)
	if len(buf) > 0 {
		_, _ = s.terminal.Write(buf)
	}
}

// keep keeps a buffer for the next time.
func (s *Screen) keep(buf []byte) {
	if cap(buf) <= keepBuffer {
		s.buf = buf
	}
}

// What is written to a terminal: all of them know it.
const (
	save    = "\x1b7\x1b[m" // keep the position and the looks, and take the plain ones
	back    = "\x1b8"       // to what was kept
	noWrap  = "\x1b[?7l"    // what is wider than the row is cut off
	wrap    = "\x1b[?7h"
	rest    = "\x1b[J"      // erases what is behind the cursor
	row     = "\x1b[K"      // the same of its row alone
	room    = "\x1bD\x1b[A" // makes sure of a row below, and keeps the column, which a newline does not
	down    = "\r\x1b[B"    // to the start of that row
	newLine = "\r\n"        //
)

// paint adds to buf what draws the bar, whether it is there already or not.
func (s *Screen) paint(buf []byte) []byte {
	s.shown = nowhere
	if s.bar == "" || s.view.background {
		return buf
	}
	if s.cursor.full(s.view.width) && !s.wrapped {
		// A cursor behind the last column does not come back from elsewhere as it was.
		s.wrapped, s.cursor.column = true, 0
		buf = append(buf, newLine...)
	}
	switch {
	case !s.cursor.line || s.wrapped:
		s.shown = here
		buf = append(buf, "\r"+save+noWrap...)
	case s.view.height > 1:
		s.shown = below
		buf = append(buf, room+save+noWrap+down...)
	default:
		return buf
	}
	buf = append(buf, s.bar...)
	return append(buf, rest+wrap+back...)
}

// erase adds to buf what takes the bar away.
func (s *Screen) erase(buf []byte) []byte {
	switch s.shown {
	case here:
		// Not with rest from there: if that is the first row, the whole screen is erased, and tmux puts it into its history.
		buf = append(buf, "\r"+save+row+down+rest+back...)
	case below:
		buf = append(buf, room+save+down+rest+back...) // a smaller terminal may have lost that row
	}
	s.shown = nowhere
	return buf
}

// A writer writes to a terminal with a bar.
type writer struct {
	screen *Screen
	file   io.Writer
	// same says that file is the terminal itself, so that one write does for the bar and the output.
	same bool
}

// Write writes p as if there were no bar.
func (w *writer) Write(p []byte) (int, error) {
	s := w.screen
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(p) == 0 {
		return w.file.Write(p)
	}
	if v := s.looked(); v != s.view && s.bar != "" {
		s.render(v)
	}
	s.written = time.Now()
	at := s.unwrap(p)
	if !w.same {
		return w.writeApart(p, at)
	}
	buf := s.erase(s.buf[:0])
	start := len(buf)
	if at >= 0 {
		buf = append(buf, p[:at]...)
		buf = s.up(buf)
		start = len(buf) - at
		buf = append(buf, p[at:]...)
	} else {
		buf = append(buf, p...)
	}
	s.cursor.write(p, s.view.width)
	buf = s.putBack(buf)
	s.keep(buf)
	n, err := w.file.Write(buf)
	return min(max(n-start, 0), len(p)), err
}

// writeApart is Write where stdout and stderr may be two terminals.
func (w *writer) writeApart(p []byte, at int) (int, error) {
	s := w.screen
	s.send(s.erase(s.buf[:0]))
	head := 0
	if at >= 0 {
		if n, err := w.file.Write(p[:at]); err != nil {
			return n, err
		}
		s.send(s.up(s.buf[:0]))
		head = at
	}
	n, err := w.file.Write(p[head:])
	s.cursor.write(p, s.view.width)
	s.send(s.putBack(s.buf[:0]))
	return head + n, err
}

// putBack adds to buf what draws the bar after output, unless it is better left to redraw.
func (s *Screen) putBack(buf []byte) []byte {
	if s.written.Sub(s.piped) < passing || !s.cursor.settled() || s.written.Sub(s.painted) < apart {
		return buf
	}
	s.painted = s.written
	return s.paint(buf)
}

// unwrap makes the cursor ready for p, where it was moved to the next row. It returns before which byte of p it must go up
// again, or -1.
func (s *Screen) unwrap(p []byte) int {
	if !s.wrapped {
		return -1
	}
	i := s.cursor.next(p)
	if i == len(p) {
		return -1 // only looks have changed
	}
	s.wrapped = false
	if b := p[i]; b != '\n' && b != '\r' && b != '\b' { // which go by where the line ended
		return -1
	}
	s.cursor.column = s.view.width - 1
	return i
}

// up adds to buf what brings the cursor to the last column of the row above.
func (s *Screen) up(buf []byte) []byte {
	buf = append(buf, "\x1b[A\x1b["...)
	return append(strconv.AppendInt(buf, int64(s.view.width), 10), 'G')
}
