// Package template makes a command out of words with replacement strings, as GNU parallel has them: {} the line, {.}
// without its extension, {/} its basename, {//} its dirname, {/.} its basename without extension, {1} {2} {-1} a column,
// also {1.} {1/} {1//} {1/.}, {#} the sequence number, {%} the job slot. What is put in is never looked at again.
package template

import (
	"fmt"
	"strconv"
	"strings"
)

// A Template is a command with replacement strings.
type Template struct {
	words [][]part
	// First and Last are the highest columns asked for, counted from the front ({3}: 3) and the back ({-2}: 2); 0 is none.
	First, Last int
	used        bool // whether there is any replacement string
}

// A part of a word is text, or what stands in the place of a replacement string.
type part struct {
	text   string // as it was written
	kind   kind
	column int    // of kind column: 1, 2, ... or -1, -2, ...
	change string // "", ".", "/", "//" or "/."
}

type kind int

const (
	literal kind = iota
	line
	column
	sequence
	slot
)

// Values are what replacement strings stand for.
type Values struct {
	// Args are the columns of a line, or the lines of a command that takes several. {} is all of them.
	Args []string
	// Line is the whole line where Args are its columns; otherwise it's nil.
	Line *string
	Seq  int // from 1
	Slot int // from 1
}

// Parse parses the words of a command. lineString stands for the line, usually "{}".
func Parse(words []string, lineString string) *Template {
	t := &Template{}
	for _, w := range words {
		t.words = append(t.words, t.parse(w, lineString))
	}
	return t
}

func (t *Template) parse(word, lineString string) []part {
	var parts []part
	text := 0 // where the literal text before i begins
	for i := 0; i < len(word); {
		p, size := match(word[i:], lineString)
		if size == 0 {
			i++
			continue
		}
		if i > text {
			parts = append(parts, part{text: word[text:i]})
		}
		p.text = word[i : i+size]
		parts = append(parts, p)
		t.used = true
		t.First, t.Last = max(t.First, p.column), max(t.Last, -p.column)
		i += size
		text = i
	}
	if text < len(word) || len(parts) == 0 {
		parts = append(parts, part{text: word[text:]})
	}
	return parts
}

// match returns the replacement string at the start of s, and its length.
func match(s, lineString string) (part, int) {
	if strings.HasPrefix(s, lineString) {
		return part{kind: line}, len(lineString)
	}
	if s[0] != '{' {
		return part{}, 0
	}
	end := strings.IndexByte(s, '}')
	if end < 2 {
		return part{}, 0
	}
	p, ok := inBraces(s[1:end])
	if !ok {
		return part{}, 0
	}
	return p, end + 1
}

func inBraces(s string) (p part, ok bool) {
	switch s {
	case "#":
		return part{kind: sequence}, true
	case "%":
		return part{kind: slot}, true
	}
	number := strings.TrimRight(s, "./")
	p = part{kind: line, change: s[len(number):]}
	switch p.change {
	case "", ".", "/", "//", "/.":
	default:
		return p, false
	}
	if number == "" {
		return p, true
	}
	p.kind = column
	n, err := strconv.Atoi(number)
	if err != nil || n == 0 || number[0] == '+' || len(number) > 6 {
		return p, false
	}
	p.column = n
	return p, true
}

// Used reports whether there is a replacement string. Where there's none the arguments are appended.
func (t *Template) Used() bool { return t.used }

// Used reports whether s has a replacement string, and the first one.
func Used(s, lineString string) (string, bool) {
	return first(s, lineString, func(kind) bool { return true })
}

// Input returns the first replacement string in s that stands for some of the input, and not for a number.
func Input(s, lineString string) (string, bool) {
	return first(s, lineString, func(k kind) bool { return k == line || k == column })
}

// Number returns the first replacement string in s that stands for a number of the job: {#} or {%}.
func Number(s, lineString string) (string, bool) {
	return first(s, lineString, func(k kind) bool { return k == sequence || k == slot })
}

func first(s, lineString string, wanted func(kind) bool) (string, bool) {
	for i := range len(s) {
		if p, size := match(s[i:], lineString); size > 0 && wanted(p.kind) {
			return s[i : i+size], true
		}
	}
	return "", false
}

// Check returns an error if the command asks for a column that n columns do not have.
func (t *Template) Check(n int) error {
	for _, w := range t.words {
		for _, p := range w {
			if p.kind == column && max(p.column, -p.column) > n {
				return fmt.Errorf("there is no column for %s, only %d", p.text, n)
			}
		}
	}
	return nil
}

// Expand returns the words of the command. Check has passed for the columns of v.
func (t *Template) Expand(v Values) []string {
	out := make([]string, 0, len(t.words)+len(v.Args))
	for _, w := range t.words {
		if len(w) == 1 && w[0].kind == line && v.Line == nil { // several lines are as many words
			for _, a := range v.Args {
				out = append(out, change(a, w[0].change))
			}
			continue
		}
		if len(w) == 1 {
			out = append(out, w[0].value(v))
			continue
		}
		var b strings.Builder
		for _, p := range w {
			b.WriteString(p.value(v))
		}
		out = append(out, b.String())
	}
	if !t.used {
		out = append(out, v.Args...)
	}
	return out
}

func (p part) value(v Values) string {
	switch p.kind {
	case line:
		if v.Line != nil {
			return change(*v.Line, p.change)
		}
		changed := make([]string, len(v.Args))
		for i, a := range v.Args {
			changed[i] = change(a, p.change)
		}
		return strings.Join(changed, " ")
	case column:
		i := p.column - 1
		if p.column < 0 {
			i = len(v.Args) + p.column
		}
		return change(v.Args[i], p.change)
	case sequence:
		return strconv.Itoa(v.Seq)
	case slot:
		return strconv.Itoa(v.Slot)
	}
	return p.text
}

func change(s, how string) string {
	switch how {
	case ".":
		return withoutExtension(s)
	case "/":
		return s[strings.LastIndexByte(s, '/')+1:]
	case "//":
		return dirname(s)
	case "/.":
		return withoutExtension(s[strings.LastIndexByte(s, '/')+1:])
	}
	return s
}

func withoutExtension(s string) string {
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 || dot == len(s)-1 || strings.IndexByte(s[dot:], '/') >= 0 {
		return s
	}
	return s[:dot]
}

// dirname is that of POSIX.
func dirname(s string) string {
	trimmed := strings.TrimRight(s, "/")
	if trimmed == "" && s != "" {
		return "/"
	}
	i := strings.LastIndexByte(trimmed, '/')
	if i < 0 {
		return "."
	}
	if dir := strings.TrimRight(trimmed[:i], "/"); dir != "" {
		return dir
	}
	return "/"
}
