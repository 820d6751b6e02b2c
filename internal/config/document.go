package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A document is the text of a TOML file, and what is in it with the places where it stands.
type document struct {
	data     []byte
	lines    []int // where each line starts
	root     *item
	sections []*section // in the order of the file; the first has no header
	problems []problem

	placed, column int // the offset that place was last asked for, and its column
}

// A span is a part of the text: from its first byte to the one behind the last.
type span struct{ from, to int }

// A problem is something wrong at an offset of the text.
type problem struct {
	at   int
	text string
}

// A section is a header and the lines under it.
type section struct {
	table *item
	start int // of the header
	end   int // behind the last expression, within its line
}

type itemKind int

const (
	aTable     itemKind = iota
	aTableList          // [[NAME]]
	anArray
	aText
	anInteger
	aBoolean
	anything // a float, a date, a time: nothing that we take
)

func (k itemKind) String() string {
	return [...]string{"a table", "a list of tables", "an array", "a text", "a whole number", "true or false", "a number with a fraction, a date or a time"}[k]
}

// How a table came to be decides what may be added to it, and how.
type origin int

const (
	implied  origin = iota // [a] where there is [a.b] only
	byHeader               // [a]
	byDots                 // a in a.b = 1
	byBraces               // a = { }
)

// An item is a table or a value.
type item struct {
	kind    itemKind
	key     string // the last part of its name; "" in an array
	keyAt   span   // of that part, where it first stands
	at      span   // of the value; of a table with a header, that of the last part of its name there
	entry   span   // of KEY = VALUE, in which it stands; none for tables with a header
	parent  *item
	origin  origin           // of a table
	items   []*item          // of what contains some, in the order of the file
	names   map[string]*item // of a table
	section *section         // of a table with a header: its own
	text    string           // of a text
	number  int64
	truth   bool
}

func (i *item) child(name string) *item {
	if i == nil {
		return nil
	}
	return i.names[name]
}

func (i *item) add(c *item) *item {
	c.parent = i
	i.items = append(i.items, c)
	if i.kind == aTable {
		if i.names == nil {
			i.names = make(map[string]*item)
		}
		i.names[c.key] = c
	}
	return c
}

// parseDocument reads a text as far as its syntax is right; the rest is a problem.
//
// The library's parser alone says where things are, which errors and changes of a file need. It leaves out what its decoder
// checks, that nothing is given twice; FuzzCheck holds what we make of that against the decoder.
func parseDocument(data []byte) *document {
	d := &document{data: data, lines: []int{0}, root: &item{origin: byHeader}, column: 1}
	for i, c := range data {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	current := &section{table: d.root}
	d.root.section = current
	d.sections = []*section{current}
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			current = d.header(e)
			d.sections = append(d.sections, current)
		case unstable.KeyValue:
			d.keyValue(current.table, e)
			current.end = spanOf(e.Raw).to
		}
	}
	var wrong *unstable.ParserError
	if errors.As(p.Error(), &wrong) {
		d.problem(spanOf(p.Range(wrong.Highlight)).from, "%s", wrong.Message)
	}
	return d
}

func spanOf(r unstable.Range) span {
	return span{int(r.Offset), int(r.Offset) + int(r.Length)}
}

func (d *document) problem(at int, format string, args ...any) {
	d.problems = append(d.problems, problem{at, fmt.Sprintf(format, args...)})
}

// place returns the line and the column, in characters, of an offset; both start at 1. It's meant to be asked in the order of
// the text: a line may be as long as a file.
func (d *document) place(at int) (line, column int) {
	line = d.lineOf(at)
	start := d.lines[line-1]
	for at < len(d.data) && at > start && !utf8.RuneStart(d.data[at]) {
		at-- // of a text without an end the last byte is named
	}
	if d.placed < start || d.placed > at {
		d.placed, d.column = start, 1
	}
	d.column += utf8.RuneCount(d.data[d.placed:at])
	d.placed = at
	return line, d.column
}

func (d *document) lineOf(at int) int {
	line, exact := slices.BinarySearch(d.lines, at)
	if exact {
		line++
	}
	return line
}

// lineEnd returns where the next line starts.
func (d *document) lineEnd(at int) int {
	if n := bytes.IndexByte(d.data[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(d.data)
}

func (d *document) lineStart(at int) int { return bytes.LastIndexByte(d.data[:at], '\n') + 1 }

func (d *document) quote(s span) string { return shorten(string(d.data[s.from:s.to])) }

// shorten returns what of a text is repeated in a message: its first line, and not too much of it.
func shorten(s string) string {
	const most = 60
	line, _, more := strings.Cut(s, "\n")
	line = strings.TrimSuffix(line, "\r")
	if r := []rune(line); len(r) > most {
		line, more = string(r[:most]), true
	}
	if more {
		line += "..."
	}
	return line
}

// header returns the section that a header starts. What is under a header that may not be is in no table of the document.
func (d *document) header(e *unstable.Node) *section {
	at := d.root
	s := &section{}
	var last span
	apart := func(key string) *section {
		s.table = &item{key: key, keyAt: last, at: last, origin: byHeader, section: s}
		s.end = last.to
		return s
	}
	key := e.Key()
	for key.Next() {
		n := key.Node()
		name := string(n.Data)
		last = spanOf(n.Raw)
		if s.end == 0 {
			s.start = last.from
		}
		s.end = last.to
		next := at.child(name)
		if !key.IsLast() {
			switch {
			case next == nil:
				next = at.add(&item{key: name, keyAt: last})
			case next.kind == aTableList:
				next = next.items[len(next.items)-1]
			case next.kind != aTable || next.origin == byBraces:
				d.problem(last.from, "%s is no table to which this could be added: it has its value in line %d", quoteKey(name), d.lineOf(next.keyAt.from))
				return apart(name)
			}
			at = next
			continue
		}
		switch list := e.Kind == unstable.ArrayTable; {
		case list && next == nil:
			next = at.add(&item{kind: aTableList, key: name, keyAt: last})
			fallthrough
		case list && next.kind == aTableList:
			next = next.add(&item{keyAt: last})
		case next == nil:
			next = at.add(&item{key: name, keyAt: last})
		case list || next.kind != aTable || next.origin != implied:
			d.problem(last.from, "%s is given twice: first in line %d", quoteKey(name), d.lineOf(next.keyAt.from))
			return apart(name)
		}
		next.origin, next.at, next.section = byHeader, last, s
		s.table = next
	}
	return s
}

// keyValue puts KEY = VALUE into a table.
func (d *document) keyValue(to *item, e *unstable.Node) {
	entry := spanOf(e.Raw)
	var name string
	var at span
	key := e.Key()
	for key.Next() {
		n := key.Node()
		name, at = string(n.Data), spanOf(n.Raw)
		next := to.child(name)
		if key.IsLast() {
			if next != nil {
				d.twice(next, at)
				return
			}
			break
		}
		switch {
		case next == nil:
			next = to.add(&item{key: name, keyAt: at, origin: byDots, entry: entry})
		case next.kind != aTable || next.origin != byDots:
			d.twice(next, at)
			return
		}
		to = next
	}
	to.add(d.value(e.Value(), &item{key: name, keyAt: at, at: span{d.valueStart(at.to), entry.to}, entry: entry}))
}

func (d *document) twice(first *item, at span) {
	d.problem(at.from, "%s is given twice: first in line %d", quoteKey(first.key), d.lineOf(first.keyAt.from))
}

// valueStart returns where the value stands whose key ends there.
func (d *document) valueStart(keyEnd int) int {
	at := keyEnd
	for at < len(d.data) && strings.IndexByte(" \t=", d.data[at]) >= 0 {
		at++
	}
	return at
}

// value fills in what a value is.
func (d *document) value(n *unstable.Node, i *item) *item {
	switch n.Kind {
	case unstable.String:
		i.kind, i.text = aText, string(n.Data)
	case unstable.Bool:
		i.kind, i.truth = aBoolean, n.Data[0] == 't'
	case unstable.Integer:
		i.kind = anInteger
		number, err := strconv.ParseInt(strings.ReplaceAll(string(n.Data), "_", ""), 0, 64)
		if err != nil {
			d.problem(i.at.from, "%s is out of range", d.quote(i.at))
		}
		i.number = number
	case unstable.Array:
		i.kind = anArray
		for it := n.Children(); it.Next(); {
			c := it.Node()
			i.add(d.value(c, &item{at: element(i, c), entry: i.entry}))
		}
	case unstable.InlineTable:
		i.kind, i.origin = aTable, byBraces
		for it := n.Children(); it.Next(); {
			d.keyValue(i, it.Node())
		}
	default:
		i.kind = anything
	}
	return i
}

// element returns where an element of an array stands: of arrays within it the parser doesn't say.
func element(within *item, n *unstable.Node) span {
	if s := spanOf(n.Raw); s.to > 0 {
		return s
	}
	return within.at
}

// path returns the names that lead to an item.
func (i *item) path() []string {
	var names []string
	for ; i.parent != nil; i = i.parent {
		if i.parent.kind == aTable {
			names = append(names, i.key)
		}
	}
	slices.Reverse(names)
	return names
}

// quoteKey returns a part of a key as it stands in a file.
func quoteKey(name string) string {
	if name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == "" {
		return name
	}
	return quoteText(name)
}

func quoteKeys(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteKey(n)
	}
	return strings.Join(quoted, ".")
}

// quoteText returns a text as it stands in a file. Go's escapes are others.
func quoteText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
