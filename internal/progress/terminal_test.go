package progress_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// A terminal is as much of one as the output of jobs and a bar need: it wraps, scrolls, keeps what has scrolled away, and
// wraps everything again when its size changes.
type terminal struct {
	t *testing.T

	mu            sync.Mutex
	width, height int
	rows          []row // all, the last ones are on the screen
	top           int   // the first row on the screen
	at, kept      spot
	noWrap        bool
	in            []byte // an unfinished sequence or character
}

type row struct {
	cells   []cell
	wrapped bool // whether the line goes on in the next one
}

// A cell is a column. The second one of a wide character has no text.
type cell struct{ text, looks string }

// A spot is where the cursor is, and how it writes.
type spot struct {
	row, column int // row from the top of the screen
	pending     bool
	looks       string
}

func newTerminal(t *testing.T, width, height int) *terminal {
	return &terminal{t: t, width: width, height: height, rows: make([]row, height)}
}

func (v *terminal) size() (width, height int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.width, v.height
}

func (v *terminal) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range p {
		v.in = append(v.in, b)
		v.step()
	}
	return len(p), nil
}

// step takes what is whole.
func (v *terminal) step() {
	switch b := v.in[0]; {
	case b == 0x1b:
		if !v.sequence() {
			return
		}
	case b < ' ':
		v.control(b)
	case !utf8.FullRune(v.in):
		return
	default:
		for len(v.in) > 0 && utf8.FullRune(v.in) {
			r, n := utf8.DecodeRune(v.in)
			v.in = v.in[n:]
			v.put(string(r), displaywidth.Rune(r))
		}
		return
	}
	v.in = v.in[:0]
}

func (v *terminal) sequence() (whole bool) {
	switch s := string(v.in); {
	case len(s) < 2:
		return false
	case s[1] == '[':
		last := s[len(s)-1]
		if len(s) == 2 || last < '@' {
			return false
		}
		v.csi(s[2:len(s)-1], last)
	case s[1] == '7':
		v.kept = v.at
	case s[1] == '8':
		v.at = v.kept
	case s[1] == 'D':
		v.down()
		v.at.pending = false
	default:
		v.t.Fatalf("unknown sequence %q", s)
	}
	return true
}

func (v *terminal) csi(args string, last byte) {
	n, _ := strconv.Atoi(args)
	switch {
	case last == 'm':
		v.at.looks = args
	case last == 'A':
		v.at.row = max(v.at.row-max(n, 1), 0)
		v.at.pending = false
	case last == 'B':
		v.at.row = min(v.at.row+max(n, 1), v.height-1)
		v.at.pending = false
	case last == 'G':
		v.at.column = min(n, v.width) - 1
		v.at.pending = false
	case last == 'K' || last == 'J':
		r := v.row()
		if last == 'J' && v.at.row == 0 && v.at.column == 0 && len(r.cells) > 0 {
			v.t.Error("the whole screen is erased, with something in its first row: tmux puts that into its history")
		}
		r.cells = r.cells[:min(v.at.column, len(r.cells))]
		r.wrapped = false
		for i := v.top + v.at.row + 1; last == 'J' && i < len(v.rows); i++ {
			v.rows[i] = row{}
		}
	case args == "?7":
		v.noWrap = last == 'l'
	default:
		v.t.Fatalf("unknown sequence %q", args+string(last))
	}
}

func (v *terminal) row() *row { return &v.rows[v.top+v.at.row] }

// down goes to the next row.
func (v *terminal) down() {
	if v.at.row < v.height-1 {
		v.at.row++
		return
	}
	v.rows = append(v.rows, row{})
	v.top++
}

func (v *terminal) control(b byte) {
	switch b {
	case '\n': // a terminal in its usual mode gets a \r too
		v.down()
		v.at.column, v.at.pending = 0, false
	case '\r':
		v.at.column, v.at.pending = 0, false
	case '\b':
		v.at.column, v.at.pending = max(v.at.column-1, 0), false
	case '\t':
		if v.at.pending {
			v.t.Fatal("terminals differ in what a tab is behind the last column")
		}
		v.at.column = min((v.at.column/8+1)*8, v.width-1)
	default:
		v.t.Fatalf("unknown control %#x", b)
	}
}

func (v *terminal) put(text string, columns int) {
	if v.at.pending || v.at.column+columns > v.width {
		if v.noWrap {
			v.at.column, v.at.pending = v.width-columns, false
		} else {
			v.row().wrapped = true
			v.down()
			v.at.column, v.at.pending = 0, false
		}
	}
	r := v.row()
	for len(r.cells) < v.at.column+columns {
		r.cells = append(r.cells, cell{text: " "})
	}
	r.cells[v.at.column] = cell{text, v.at.looks}
	if columns == 2 {
		r.cells[v.at.column+1] = cell{}
	}
	v.at.column += columns
	if v.at.column == v.width {
		v.at.column--
		v.at.pending = !v.noWrap
	}
}

// resize changes the size. Lines that the width has wrapped are wrapped again, and the cursor stays in its character.
func (v *terminal) resize(width, height int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var rows []row
	cursor := v.top + v.at.row
	at := spot{looks: v.at.looks, column: v.at.column}
	found := 0
	for i := 0; i < len(v.rows); {
		var line []cell
		offset := -1
		for more := true; more && i < len(v.rows); i++ {
			if i == cursor {
				offset = len(line) + v.at.column
			}
			line = append(line, v.rows[i].cells...)
			more = v.rows[i].wrapped
		}
		for offset > len(line) {
			line = append(line, cell{text: " "})
		}
		first := len(rows)
		for {
			n := min(width, len(line))
			rows = append(rows, row{cells: line[:n:n], wrapped: n < len(line)})
			if line = line[n:]; len(line) == 0 {
				break
			}
		}
		if offset >= 0 {
			found = first + offset/width
			at.column = offset % width
			for found >= len(rows) {
				rows[len(rows)-1].wrapped = true
				rows = append(rows, row{})
			}
		}
	}
	if n := min(max(v.height-height, 0), len(rows)-1-found); n > 0 { // what is below the cursor goes first, bar or not
		rows = rows[:len(rows)-n]
	}
	v.width, v.height = width, height
	for n := len(rows) - 1; n > found && len(rows[n].cells) == 0; n-- {
		rows = rows[:n]
	}
	for len(rows) < height {
		rows = append(rows, row{})
	}
	v.rows, v.top = rows, min(len(rows)-height, found)
	at.row = found - v.top
	v.at, v.kept = at, spot{}
}

// lines returns all there is, without the spaces at the ends of rows and without empty rows at the end. With looks, each
// change of them is shown.
func (v *terminal) lines(looks bool) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var lines []string
	for _, r := range v.rows {
		var b strings.Builder
		last := ""
		for _, c := range r.cells {
			if looks && c.text != " " && c.looks != last {
				last = c.looks
				fmt.Fprintf(&b, "<%s>", last)
			}
			b.WriteString(c.text)
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
