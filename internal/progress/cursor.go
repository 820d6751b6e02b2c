package progress

import (
	"bytes"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// A cursor knows where a terminal's cursor is in a line that has not ended, as far as what was written tells.
type cursor struct {
	line   bool // whether anything is in the line
	column int  // 0 to the width of the terminal, at which the next character comes into the next row
	width  int  // of the terminal, when the line began
	lost   bool // what was written may have moved it anywhere
	in     sequence
	rune   []byte // the beginning of a character
}

// A sequence is what the last byte was part of.
type sequence int

const (
	none         sequence = iota
	escape                // ESC
	control               // ESC [ ...
	text                  // ESC ] ... and others, until ESC \ or BEL
	textEscape            // an ESC in there
	intermediate          // ESC ( and others
)

const (
	bel = '\a'
	esc = 0x1b
)

// settled reports whether what was written is whole, so that something else may be written now.
func (c *cursor) settled() bool { return c.in == none && len(c.rune) == 0 }

// full reports whether the cursor is behind the last column, where a terminal keeps it until the next character comes.
// What moves it there and back again makes it stand on that column, so that the next character replaces the last one.
func (c *cursor) full(width int) bool {
	return c.line && !c.lost && c.column == width && c.width == width
}

// write follows p on a terminal of a width.
func (c *cursor) write(p []byte, width int) {
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		*c = cursor{rune: c.rune[:0]}
		p = p[i+1:]
	}
	if len(p) == 0 {
		return
	}
	if !c.line {
		c.width = width
	}
	if len(c.rune) > 0 {
		p = append(c.rune, p...)
		c.rune = nil
	}
	for len(p) > 0 {
		if c.in != none || p[0] < ' ' || p[0] == 0x7f {
			c.control(p[0])
			p = p[1:]
			continue
		}
		end := bytes.IndexFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f })
		if end < 0 {
			end = len(p)
			if cut := incomplete(p); cut > 0 {
				end -= cut
				c.rune = append([]byte(nil), p[end:]...)
				p = p[:end]
			}
		}
		for g := displaywidth.BytesGraphemes(p[:end]); g.Next(); {
			c.advance(g.Width())
		}
		p = p[end:]
	}
}

// next returns the place of the first byte of p that is not part of a sequence, len(p) if there is none.
func (c *cursor) next(p []byte) int {
	at := *c
	for i, b := range p {
		if at.in == none && b != esc {
			return i
		}
		at.control(b)
	}
	return len(p)
}

// incomplete returns how many bytes at the end of p are the beginning of a character.
func incomplete(p []byte) int {
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		if b := p[len(p)-i:]; utf8.RuneStart(b[0]) {
			if utf8.FullRune(b) {
				return 0
			}
			return i
		}
	}
	return 0
}

// advance moves the cursor as a character of some columns does.
func (c *cursor) advance(columns int) {
	c.line = true
	if columns > 0 && c.column+columns > c.width {
		c.column = 0
	}
	c.column = min(c.column+columns, c.width)
}

// control follows a control character, or a byte of a sequence.
func (c *cursor) control(b byte) {
	switch {
	case c.in == none && b == esc:
		c.in = escape
	case c.in == none:
		c.move(b)
	case c.in == escape:
		c.in = none
		switch {
		case b == '[':
			c.in = control
		case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_':
			c.in = text
		case b == esc:
			c.in = escape
		case b >= ' ' && b <= '/':
			c.in = intermediate
		default:
			c.line, c.lost = true, true
		}
	case c.in == control && b >= '@':
		c.in = none
		if b != 'm' && b != 'K' { // which change nothing but the looks
			c.line, c.lost = true, true
		}
	case c.in == text && b == esc:
		c.in = textEscape
	case c.in == text && b == bel, c.in == textEscape:
		c.in = none
	case c.in == intermediate && b >= '0':
		c.in = none
	case c.in == control && b == esc:
		c.in = escape
	}
}

// move follows a control character that is not part of a sequence.
func (c *cursor) move(b byte) {
	switch b {
	case '\r':
		c.column = 0
	case '\b':
		c.column = max(min(c.column, c.width-1)-1, 0)
	case '\t':
		c.line = true
		if c.column < c.width { // else most terminals stay
			c.column = min((c.column/8+1)*8, c.width-1)
		}
	case '\v', '\f':
		c.line, c.lost = true, true
	}
}
