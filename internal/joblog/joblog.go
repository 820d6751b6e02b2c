// Package joblog reads and writes the joblog of GNU parallel, byte for byte: one row for each job that has ended, for
// people, for their scripts, and for parallel --retry-failed.
package joblog

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/internal/journal/rowfile"
	"github.com/throttle-cli/throttle/internal/shellline"
)

const header = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"

// A Row is one job.
type Row struct {
	Seq     int
	Host    string // ":", or "" when it's written, is this one
	Start   time.Time
	Runtime time.Duration
	Send    int64
	Receive int64 // bytes of stdout
	Exitval int   // see Status
	Signal  int
	Command string // as a shell reads it: see Quote
}

// OK reports whether the job succeeded.
func (r Row) OK() bool { return r.Exitval == 0 && r.Signal == 0 }

// Key returns what jobs of the same command have in common, however it is quoted: its words as Key makes one of them,
// or the text if it needs a shell. A row without a command has none: parallel --retry-failed writes those, for numbers
// that it misses.
func (r Row) Key() string {
	words, err := shellline.Split(r.Command)
	if err != nil || newlines(words...) != newlines(r.Command) { // a newline that is not quoted ends a command
		return TextKey(r.Command)
	}
	if len(words) == 0 {
		return ""
	}
	return Key(words)
}

func newlines(words ...string) (n int) {
	for _, w := range words {
		n += strings.Count(w, "\n")
	}
	return n
}

// Key returns the key of a command of these words.
func Key(words []string) string { return strings.Join(words, "\x00") + "\x00" }

// TextKey returns the key of a command that only a shell can run.
func TextKey(command string) string { return "\x00" + command }

// Status returns the exit value and the signal as parallel writes them, for the exit code of a command, which is 128+n
// if signal n ended it. A job that was ended since its time was over has -1, unless it has another exit code than 0.
func Status(exitCode int, signal syscall.Signal, timedOut bool) (exitval, sig int) {
	if signal != 0 {
		exitCode = 0
	}
	if exitCode == 0 && timedOut {
		exitCode = -1
	}
	return exitCode, int(signal)
}

// Quote returns the words of a command as parallel quotes arguments, for sh, bash, zsh and the like.
func Quote(words []string) string {
	var b []byte
	for i, w := range words {
		if i > 0 {
			b = append(b, ' ')
		}
		switch {
		case w == "":
			b = append(b, "''"...)
		case !plain(w) || i == 0 && reserved(w):
			quoted := "'" + strings.ReplaceAll(w, "'", `'"'"'`) + "'"
			b = append(b, strings.TrimSuffix(strings.TrimPrefix(quoted, "''"), "''")...)
		default:
			b = append(b, w...)
		}
	}
	return string(b)
}

func plain(w string) bool {
	for i := range len(w) {
		c := w[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.+/", c) < 0 {
			return false
		}
	}
	return true
}

// reserved reports whether a plain word is none to a shell at the start of a command. Parallel has no need of that, as
// it quotes arguments only.
func reserved(w string) bool {
	switch w {
	case "if", "then", "elif", "else", "fi", "for", "do", "done", "while", "until", "case", "esac", "function", "select",
		"time", "coproc", "foreach", "repeat", "end", "nocorrect", "noglob":
		return true
	}
	return false
}

// A FormatError says that a file, or a row of it, is not what it should be.
type FormatError struct {
	Path string
	Line int    // from 1
	Text string // of the line
}

func (e *FormatError) Error() string {
	if e.Line == 1 {
		return fmt.Sprintf("%s is no joblog: it begins with %s", e.Path, excerpt(e.Text))
	}
	return fmt.Sprintf("line %d of the joblog %s is damaged: %s\nremove that line: the job that it was about is run again", e.Line, e.Path, excerpt(e.Text))
}

// excerpt quotes the start of a text.
func excerpt(text string) string {
	const most = 100
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}

// A Log is a joblog that is being written. Its methods may be called by several goroutines at once.
type Log struct {
	file     *rowfile.File
	repaired string
}

// A LockedError says that another process writes the joblog.
type LockedError struct{ Path string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("another throttle writes the joblog %s\nwait for its end, or use another file", e.Path)
}

// Unwrap returns rowfile.ErrLocked.
func (*LockedError) Unwrap() error { return rowfile.ErrLocked }

// Open opens a joblog to append to it, or makes it. It returns a *FormatError if the file is something else, and a
// *LockedError if another throttle writes it.
func Open(path string) (*Log, error) { return open(path, false) }

// Create is Open, but the rows that are there are removed, as parallel does it unless it resumes. A file that is no
// joblog is not touched.
func Create(path string) (*Log, error) { return open(path, true) }

func open(path string, anew bool) (_ *Log, err error) {
	file, err := rowfile.Open(path, 0o666)
	if errors.Is(err, rowfile.ErrLocked) {
		return nil, &LockedError{Path: path}
	}
	if err != nil {
		return nil, err
	}
	l := &Log{file: file}
	if err := l.prepare(path, anew); err != nil {
		_ = file.Close() // the other error matters
		return nil, err
	}
	return l, nil
}

// prepare makes the file end with a whole row.
func (l *Log) prepare(path string, anew bool) error {
	size, err := l.file.Size()
	if err != nil {
		return err
	}
	first, err := bufio.NewReader(io.NewSectionReader(l.file, 0, int64(len(header))+maxExcerpt)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case first == header && !anew:
		return l.repair(size)
	case first == header:
	case first != "" && (int64(len(first)) < size || !strings.HasPrefix(header, first)):
		return &FormatError{Path: path, Line: 1, Text: strings.TrimSuffix(first, "\n")}
	case first != "":
		l.repaired = "its header was torn"
	}
	if size > 0 {
		if err := l.file.Cut(0); err != nil {
			return err
		}
	}
	return l.file.AppendHeader([]byte(header))
}

// maxExcerpt is more than what is shown of a line.
const maxExcerpt = 200

// repair cuts off a last row without newline. It may seem to be whole, and isn't: of "echo 10", "echo 1" may be left.
func (l *Log) repair(size int64) error {
	end := size
	buf := make([]byte, 64<<10)
	for end > 0 {
		from := max(0, end-int64(len(buf)))
		chunk := buf[:end-from]
		if _, err := l.file.ReadAt(chunk, from); err != nil {
			return err
		}
		if i := bytes.LastIndexByte(chunk, '\n'); i >= 0 {
			end = from + int64(i) + 1
			break
		}
		end = from
	}
	if end == size {
		return nil
	}
	text := make([]byte, min(maxExcerpt, size-end))
	if _, err := l.file.ReadAt(text, end); err != nil {
		return err
	}
	if err := l.file.Cut(end); err != nil {
		return err
	}
	l.repaired = "its last row was torn, and is cut off: " + excerpt(string(text))
	return nil
}

// Repaired says what was wrong at the end of the file, and is no more; "" if nothing was.
func (l *Log) Repaired() string { return l.repaired }

// Append writes the row of a job that has ended. It returns a *rowfile.WriteError if it could not.
func (l *Log) Append(r Row) error {
	return l.file.Append(appendRow(make([]byte, 0, 96+len(r.Command)), r))
}

func appendRow(b []byte, r Row) []byte {
	start := r.Start.Round(time.Millisecond)
	runtime := r.Start.Add(r.Runtime).Sub(start).Truncate(time.Millisecond) // parallel rounds the start first, too
	b = strconv.AppendInt(b, int64(r.Seq), 10)
	b = append(b, '\t')
	b = append(b, cmp.Or(r.Host, ":")...)
	b = append(b, '\t')
	b = appendMillis(b, start.UnixMilli(), 0)
	b = append(b, '\t')
	b = appendMillis(b, runtime.Milliseconds(), 10)
	for _, n := range []int64{r.Send, r.Receive, int64(r.Exitval), int64(r.Signal)} {
		b = append(b, '\t')
		b = strconv.AppendInt(b, n, 10)
	}
	b = append(b, '\t')
	from := len(b)
	b = append(b, r.Command...)
	for i := from; i < len(b); i++ {
		if b[i] == '\n' {
			b[i] = 0
		}
	}
	return append(b, '\n')
}

// appendMillis appends seconds with three decimals, width characters wide at the least.
func appendMillis(b []byte, ms int64, width int) []byte {
	text := fmt.Sprintf("%d.%03d", ms/1000, max(ms%1000, -(ms%1000)))
	if ms < 0 && ms > -1000 {
		text = "-" + text
	}
	for n := len(text); n < width; n++ {
		b = append(b, ' ')
	}
	return append(b, text...)
}

// Close brings all rows to the disk. It may be called again.
func (l *Log) Close() error { return l.file.Close() }

// Read calls each with the rows of a joblog, in the order in which the jobs have ended, until it returns an error. Of
// rows with the same number and command the last one is true. A last row that is torn is left out, and a blank line.
func Read(path string, each func(Row) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && (n > 1 || line == "" || strings.HasPrefix(header, line)):
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case n == 1 && line != header:
			return &FormatError{Path: path, Line: n, Text: strings.TrimSuffix(line, "\n")}
		case n == 1 || strings.TrimSpace(line) == "":
			continue
		}
		row, ok := parse(strings.TrimSuffix(line, "\n"))
		if !ok {
			return &FormatError{Path: path, Line: n, Text: strings.TrimSuffix(line, "\n")}
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

func parse(line string) (r Row, ok bool) {
	f := strings.SplitN(line, "\t", 9)
	if len(f) < 9 || f[1] == "" {
		return r, false
	}
	var errs [7]error
	var start, runtime float64
	r.Seq, errs[0] = strconv.Atoi(f[0])
	start, errs[1] = strconv.ParseFloat(f[2], 64)
	runtime, errs[2] = strconv.ParseFloat(strings.TrimLeft(f[3], " "), 64)
	r.Send, errs[3] = strconv.ParseInt(f[4], 10, 64)
	r.Receive, errs[4] = strconv.ParseInt(f[5], 10, 64)
	r.Exitval, errs[5] = strconv.Atoi(f[6])
	r.Signal, errs[6] = strconv.Atoi(f[7])
	if errors.Join(errs[:]...) != nil || r.Seq < 1 || !(math.Abs(start) < maxStart && math.Abs(runtime) < maxRuntime) {
		return r, false
	}
	r.Host = f[1]
	r.Start = time.UnixMilli(int64(math.Round(start * 1000)))
	r.Runtime = time.Duration(math.Round(runtime*1000)) * time.Millisecond
	r.Command = strings.ReplaceAll(f[8], "\x00", "\n")
	return r, true
}

// Seconds, more than are in any joblog, and less than times can hold.
const (
	maxStart   = 1e12
	maxRuntime = 9e9
)
