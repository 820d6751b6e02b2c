package cmd

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/spf13/pflag"
)

// A logger is where messages go: stderr, as lines of text for people or as JSON for programs.
type logger struct {
	format string
	quiet  bool
	here   func(flag string) bool // whether it was on the command line

	terminal bool // whether a person looks on

	mu   sync.Mutex
	w    io.Writer
	json *slog.Logger
	told map[string]bool // by warnOnce
}

func newLogger(w io.Writer) *logger {
	f, ok := w.(*os.File)
	return &logger{w: w, format: "text", terminal: ok && isTerminal(f)}
}

// expect takes the format from arguments that were not parsed, not all of them anyhow.
func (l *logger) expect(args []string) {
	for i, a := range args {
		switch {
		case a == "--":
			return
		case a == "--log-format=json", a == "--log-format" && i+1 < len(args) && args[i+1] == "json":
			l.format = "json"
			return
		}
	}
}

func (l *logger) addFlags(f *pflag.FlagSet) {
	l.here = func(flag string) bool { return givenHere(f, flag) }
	f.BoolVarP(&l.quiet, "quiet", "q", false, "nothing on stderr but what went wrong")
	f.Var(&choice{&l.format, []string{"text", "json"}}, "log-format", "messages on stderr are `FORMAT`: text, json")
}

// through has messages go through write until the function that it returns is called: while jobs run, between their
// output.
func (l *logger) through(write func(text string)) (back func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.w
	l.w, l.json = lines(write), nil
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.w, l.json = before, nil
	}
}

// lines is a writer that is given whole lines.
type lines func(text string)

func (f lines) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}

// note says what one who looks on may want to know. Attributes, as of slog, are for programs: the message says all by
// itself.
func (l *logger) note(message string, attributes ...any) {
	if !l.quiet && (l.terminal || l.format == "json") {
		l.log(slog.LevelInfo, message, attributes)
	}
}

// say says what was asked for.
func (l *logger) say(message string, attributes ...any) { l.log(slog.LevelInfo, message, attributes) }

// warn says what may be not as it was meant.
func (l *logger) warn(message string, attributes ...any) { l.log(slog.LevelWarn, message, attributes) }

// warnOnce warns of what many keys may have in common, or one that is opened again.
func (l *logger) warnOnce(message string) {
	l.mu.Lock()
	told := l.told[message]
	if l.told == nil {
		l.told = make(map[string]bool)
	}
	l.told[message] = true
	l.mu.Unlock()
	if !told {
		l.warn(message)
	}
}

// fail says what went wrong.
func (l *logger) fail(message string, attributes ...any) {
	l.log(slog.LevelError, message, attributes)
}

func (l *logger) log(level slog.Level, message string, attributes []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.format != "json" {
		_, _ = fmt.Fprintf(l.w, "throttle: %s\n", message) // nobody is left to tell
		return
	}
	if l.json == nil {
		l.json = slog.New(slog.NewJSONHandler(l.w, nil))
	}
	l.json.Log(nil, level, message, attributes...) //nolint:staticcheck // the handler looks at no context
}

// A choice is a flag whose value is one of a few words.
type choice struct {
	value *string
	of    []string
}

func (c *choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

func (*choice) Type() string { return "string" }

func (c *choice) Set(s string) error {
	for _, word := range c.of {
		if s == word {
			*c.value = s
			return nil
		}
	}
	return fmt.Errorf("it is one of %s", oneOf(c.of))
}

// oneOf lists words: a, b or c.
func oneOf(words []string) string {
	text := words[0]
	for i, w := range words[1:] {
		if i == len(words)-2 {
			text += " or " + w
		} else {
			text += ", " + w
		}
	}
	return text
}

// detail says what a person hears of at the end, and a program when it happens.
func (l *logger) detail(message string, attributes ...any) {
	if l.format == "json" {
		l.note(message, attributes...)
	}
}
