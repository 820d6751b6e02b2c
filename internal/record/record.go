// Package record cuts inputs into records: lines, or what ends with another delimiter. There is no limit on the length
// of a record, and every byte of the inputs comes out again, either in a record or from Rest.
package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/throttle-cli/throttle/internal/input"
)

// A Record is one piece of an input.
type Record struct {
	Raw  string // as it was read, with its delimiter; the last of an input may have none
	Text string // without the delimiter
	File string // the name of its input
	Line int    // its number in that input, from 1
}

// Where says where the record stands, for messages: "line 7 of ids.txt".
func (r Record) Where() string { return fmt.Sprintf("line %d of %s", r.Line, r.File) }

// An Input is one stream of records.
type Input struct {
	Name   string // for messages
	Reader io.Reader
	Finite bool // whether it ends by itself, as a regular file does
}

// Stdin returns the input that reads r, under the name of stdin.
func Stdin(r io.Reader) Input {
	in := Input{Name: "stdin", Reader: r}
	if f, ok := r.(*os.File); ok {
		info, err := f.Stat()
		in.Finite = err == nil && info.Mode().IsRegular()
	}
	return in
}

// File returns the input that reads the file of that name, when its turn has come. It fails now if that can be seen to
// fail then.
func File(name string) (Input, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Input{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case err != nil:
		return Input{}, err
	case info.IsDir():
		return Input{}, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	case info.Mode().IsRegular(): // to open and close a named pipe would end its writer
		f, err := os.Open(name)
		if err != nil {
			return Input{}, err
		}
		_ = f.Close()
	}
	return Input{Name: name, Reader: &lazyFile{name: name}, Finite: info.Mode().IsRegular()}, nil
}

// A lazyFile is opened by the first read, as opening a named pipe waits for its writer. It is closed at its end.
type lazyFile struct {
	name string
	f    *os.File
}

func (l *lazyFile) Read(p []byte) (n int, err error) {
	if l.f == nil {
		if l.f, err = os.Open(l.name); err != nil {
			return 0, err
		}
	}
	n, err = l.f.Read(p)
	if err != nil {
		_ = l.f.Close() // it was only read
	}
	return n, err
}

// A Reader reads the records of its inputs, one after another. It is for one goroutine at a time.
type Reader struct {
	delim   byte
	inputs  []Input // those not begun
	name    string
	line    int
	in      *input.Input
	pending []byte // read of the current input, and not returned
}

// NewReader returns a Reader of records that end with delim.
func NewReader(delim byte, inputs ...Input) *Reader {
	return &Reader{delim: delim, inputs: inputs}
}

// Next returns the next record. At the end of the last input it returns io.EOF; when ctx ends, its cause; otherwise an
// error that names the input. After an error, what was read and not returned comes from Rest.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	searched := 0
	for {
		if r.in == nil && !r.begin() {
			return Record{}, io.EOF
		}
		if i := bytes.IndexByte(r.pending[searched:], r.delim); i >= 0 {
			return r.take(searched + i + 1), nil
		}
		searched = len(r.pending)
		chunk, err := r.in.Chunk(ctx)
		r.pending = append(r.pending, chunk...)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			r.in = nil
			if len(r.pending) > 0 {
				return r.last(), nil
			}
			searched = 0
		case context.Cause(ctx) != nil:
			return Record{}, err
		default:
			return Record{}, fmt.Errorf("reading %s: %w", r.name, err)
		}
	}
}

// Ready reports whether n calls of Next return without waiting for somebody who writes.
func (r *Reader) Ready(n int) bool {
	if bytes.Count(r.pending, []byte{r.delim}) >= n {
		return true
	}
	waits := func(in Input) bool { return !in.Finite }
	return (r.in == nil || r.in.Finite) && !slices.ContainsFunc(r.inputs, waits)
}

// begin goes to the next input, and reports whether there is one.
func (r *Reader) begin() bool {
	if len(r.inputs) == 0 {
		return false
	}
	next := r.inputs[0]
	r.inputs = r.inputs[1:]
	r.in, r.name, r.line = input.New(next.Reader), next.Name, 0
	r.in.Finite = next.Finite
	return true
}

// last returns the record at the end of an input, which has no delimiter. Where another input follows it's given one, so
// that it can't grow together with the first record of that.
func (r *Reader) last() Record {
	rec := r.take(len(r.pending))
	if len(r.inputs) > 0 {
		rec.Raw += string(r.delim)
	}
	return rec
}

func (r *Reader) take(n int) Record {
	raw := string(r.pending[:n])
	r.pending = r.pending[n:]
	if len(r.pending) == 0 {
		r.pending = nil // a long record may have made it large
	}
	r.line++
	text := raw
	if raw[n-1] == r.delim {
		text = raw[:n-1]
	}
	return Record{Raw: raw, Text: text, File: r.name, Line: r.line}
}

// Rest copies to w all that Next has not returned of any input, as far as Rest of package input does.
func (r *Reader) Rest(ctx context.Context, w io.Writer, most int64) (complete bool, err error) {
	out := &lastByte{w: w, last: r.delim}
	if _, err := out.Write(r.pending); err != nil {
		return false, err
	}
	r.pending = nil
	for {
		if r.in == nil && !r.begin() {
			return true, nil
		}
		if complete, err = r.in.Rest(ctx, out, most); !complete {
			return false, err
		}
		r.in = nil
		if out.last != r.delim && len(r.inputs) > 0 {
			if _, err := out.Write([]byte{r.delim}); err != nil {
				return false, err
			}
		}
	}
}

// A lastByte knows the last byte that it has passed on.
type lastByte struct {
	w    io.Writer
	last byte
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.last = p[len(p)-1]
	}
	return l.w.Write(p)
}
