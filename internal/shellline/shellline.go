// Package shellline splits a line of a command file into words, as a shell does, and quotes words for a shell. A line
// that only a shell can run is an error: nothing is expanded, and no operator is taken for a word.
package shellline

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-shellwords"
)

// An Error says at which column of a line, in characters from 1, the trouble is.
type Error struct {
	Column int
	Text   string
}

func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Text) }

// Split returns the words of a line. A blank line and a comment have none. It returns an *Error for an unclosed quote,
// an operator, an expansion, or an assignment in front of the command.
func Split(line string) ([]string, error) {
	line = strings.TrimSuffix(line, "\r")
	clean, at, err := translate(line)
	if err != nil {
		return nil, &Error{Column: 1 + utf8.RuneCountInString(line[:at]), Text: err.Error()}
	}
	words, err := shellwords.NewParser().Parse(clean)
	if err != nil {
		return nil, &Error{Column: 1, Text: err.Error()}
	}
	for i, w := range words {
		words[i] = narrow(w)
	}
	return words, nil
}

// translate finds what is no plain command, with its place, and returns the line as go-shellwords has to see it to find
// the words that sh(1) finds: without comment, its escapes written so that both read them alike, and each byte as a
// character, since that package takes what is not UTF-8 apart.
func translate(line string) (clean string, at int, err error) {
	var out strings.Builder
	put := func(c byte) { out.WriteRune(rune(c)) }
	begins := true // whether a word may begin at i
	first := -1    // where the first word begins
	for i := 0; i < len(line); i++ {
		c := line[i]
		if first < 0 && c != ' ' && c != '\t' {
			first = i
		}
		wasBegin := begins
		begins = false
		switch c {
		case ' ', '\t':
			begins = true
			put(c)
		case '#':
			if wasBegin {
				return out.String(), 0, nil
			}
			put(c)
		case '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return "", i, errors.New("the quote ' is not closed")
			}
			for _, c := range []byte(line[i : i+end+2]) {
				put(c)
			}
			i += end + 1
		case '"':
			end, trouble, err := doubleQuoted(line[i:], put)
			if err != nil {
				return "", i + trouble, err
			}
			i += end
		case '\\':
			if i++; i == len(line) {
				return "", i - 1, errors.New("nothing follows the backslash: a command is one line")
			}
			if line[i] != 't' && line[i] != 'n' { // a tab and a newline to go-shellwords
				put('\\')
			}
			put(line[i])
		case '|', '&', ';', '<', '>', '(', ')':
			return "", i, fmt.Errorf("the operator %q needs a shell: quote it, or use --shell", c)
		case '$', '`':
			if expands(line[i:]) || strings.HasPrefix(line[i:], "$'") {
				return "", i, fmt.Errorf("%q is expanded by a shell only: put it in single quotes, or use --shell", expansion(line[i:]))
			}
			put(c)
		case '=':
			if first >= 0 && isName(line[first:i]) {
				return "", first, fmt.Errorf("the assignment %q in front of a command needs a shell: use env %s..., or --shell", line[first:i+1], line[first:i+1])
			}
			put(c)
		default:
			put(c)
		}
	}
	return out.String(), 0, nil
}

// doubleQuoted translates the quoted text that s begins with, and returns where it ends.
func doubleQuoted(s string, put func(byte)) (end, trouble int, err error) {
	put('"')
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			put('"')
			return i, 0, nil
		case '\\':
			if i++; i == len(s) {
				return 0, 0, errUnclosed
			}
			put('\\')
			if strings.IndexByte("$`\"\\", s[i]) < 0 { // the backslash is one
				put('\\')
			}
			put(s[i])
		case '$', '`':
			if expands(s[i:]) {
				return 0, i, fmt.Errorf("%q is expanded by a shell only: put it in single quotes, or use --shell", expansion(s[i:]))
			}
			put(c)
		default:
			put(c)
		}
	}
	return 0, 0, errUnclosed
}

var errUnclosed = errors.New(`the quote " is not closed`)

// expands reports whether a shell expands what begins with the $ or ` that s begins with.
func expands(s string) bool {
	if s[0] == '`' {
		return true
	}
	return len(s) > 1 && (s[1] == '{' || s[1] == '(' || isNameByte(s[1]) || strings.IndexByte("?$@*#!-", s[1]) >= 0)
}

// expansion returns the expansion at the start of s, for a message.
func expansion(s string) string {
	i := 1
	for i < len(s) && isNameByte(s[i]) {
		i++
	}
	if i == 1 && len(s) > 1 && s[0] == '$' {
		i = 2
	}
	return s[:i]
}

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isName(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

// narrow makes bytes again of the characters that translate made of them.
func narrow(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// Quote returns words as sh(1) reads them again.
func Quote(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		if plain(w) {
			b.WriteString(w)
		} else {
			b.WriteString("'" + strings.ReplaceAll(w, "'", `'\''`) + "'")
		}
	}
	return b.String()
}

func plain(w string) bool {
	for i := range len(w) {
		if !isNameByte(w[i]) && strings.IndexByte("-./:,@%+", w[i]) < 0 {
			return false
		}
	}
	return w != ""
}
