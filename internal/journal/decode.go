package journal

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxTorn is how much a power cut may have left at the end that makes no sense: more than a second's rows.
const maxTorn = 4 << 20

// A scanned file is a journal that has been read.
type scanned struct {
	ledger   *Ledger
	end      int64 // of the last whole row
	tornLine int   // the first line behind it, if there is any
	torn     string
}

// scan reads a journal of size bytes. It returns a *FormatError for a file that is none, and for a damaged row that is
// not at the end.
func scan(r io.ReaderAt, size int64, path string) (scanned, error) {
	s := scanned{ledger: newLedger()}
	flights := make(map[Item]int64) // where their start rows begin
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), maxRow)
	var at int64
	for n := 1; ; n++ {
		from := at
		line, whole, err := readRow(in, &at)
		if err != nil {
			return s, err
		}
		if at == from {
			break
		}
		row, ok := row{}, false
		if whole {
			row, ok = parse(line)
		}
		switch {
		case n == 1 && !ok && !whole && isTornRun(line):
		case n == 1 && (!ok || row.kind != runRow):
			return s, &FormatError{Path: path, Line: 1, Text: string(line)}
		case ok && row.kind == runRow && row.format != Format:
			return s, &FormatError{Path: path, Line: n, What: "its format is " + strconv.FormatUint(row.format, 10) +
				", and this throttle knows " + strconv.Itoa(Format) + " only\nuse a newer one, or another file"}
		}
		blank := whole && len(bytes.TrimSpace(line)) == 0
		if !ok && !blank {
			if s.tornLine == 0 {
				s.tornLine, s.torn = n, string(line[:min(len(line), 200)])
			}
			continue
		}
		if s.tornLine != 0 && blank {
			continue
		}
		if s.tornLine != 0 {
			return s, &FormatError{Path: path, Line: s.tornLine, Text: s.torn}
		}
		s.end = at
		s.apply(row, from, flights)
	}
	if s.tornLine != 0 && size-s.end > maxTorn {
		return s, &FormatError{Path: path, Line: s.tornLine, Text: s.torn}
	}
	return s, s.ledger.readFlights(r, flights)
}

// readRow reads a line. What it returns is valid until the next call; of a line that is too long for a row it's the
// start, and whole is false. At the end of the file at stays.
func readRow(in *bufio.Reader, at *int64) (line []byte, whole bool, err error) {
	line, err = in.ReadSlice('\n')
	*at += int64(len(line))
	switch {
	case err == nil:
		return line[:len(line)-1], true, nil
	case errors.Is(err, io.EOF):
		return line, false, nil
	case !errors.Is(err, bufio.ErrBufferFull):
		return nil, false, err
	}
	line = bytes.Clone(line[:200])
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = in.ReadSlice('\n')
		*at += int64(len(more))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return line, false, nil
}

// runPrefix is what each run row that we write begins with.
const runPrefix = `{"type":"run","time":"`

// isTornRun reports whether the only line of a file, which has no newline, is the start of a run row.
func isTornRun(line []byte) bool {
	return bytes.HasPrefix(line, []byte(runPrefix)) || strings.HasPrefix(runPrefix, string(line))
}

// apply takes down what a row says, which begins at that offset.
func (s *scanned) apply(r row, at int64, flights map[Item]int64) {
	switch r.kind {
	case runRow:
		if r.anew {
			s.ledger = newLedger()
			clear(flights)
		}
	case startRow:
		s.ledger.set(r.item, r.seq, InFlight)
		flights[r.item] = at
	case endRow:
		s.ledger.set(r.item, r.seq, r.state)
		delete(flights, r.item)
	case otherRow:
	}
}

// readFlights reads the start rows of those in flight.
func (l *Ledger) readFlights(r io.ReaderAt, flights map[Item]int64) error {
	for i, at := range flights {
		line, err := bufio.NewReader(io.NewSectionReader(r, at, maxRow)).ReadBytes('\n')
		if err != nil {
			return err
		}
		var row struct {
			Seq     int
			Attempt int
			Time    time.Time
			Input   string
			Input64 []byte
		}
		_ = json.Unmarshal(line, &row) // what is not as it should be stays empty: it's for people
		if row.Input64 != nil {
			row.Input = strings.ToValidUTF8(string(row.Input64), "\ufffd")
		}
		l.flights[i] = Flight{Item: i, Seq: row.Seq, Attempt: row.Attempt, Started: row.Time, Input: row.Input}
	}
	return nil
}

// lastRun returns the number of the process that the last run row names, 0 if there's none.
func lastRun(r io.ReadSeeker) int {
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return 0
	}
	const chunk = 1 << 20
	begins := []byte("\n" + runPrefix)
	buf := make([]byte, 0, chunk+maxRow)
	for end > 0 { // the newest is near the end, or the file is long
		from := max(0, end-chunk)
		rest := min(len(buf), maxRow)
		next := make([]byte, int(end-from)+rest, chunk+maxRow)
		copy(next[end-from:], buf[:rest])
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			return 0
		}
		if _, err := io.ReadFull(r, next[:end-from]); err != nil {
			return 0
		}
		buf, end = next, from
		i := bytes.LastIndex(buf, begins)
		switch {
		case i >= 0:
			i++
		case from == 0 && bytes.HasPrefix(buf, begins[1:]):
			i = 0
		default:
			continue
		}
		line, _, _ := bytes.Cut(buf[i:], []byte("\n"))
		row, _ := parse(line)
		return int(row.pid)
	}
	return 0
}

// A row is what matters of one.
type row struct {
	kind   rowKind
	item   Item
	seq    uint32
	state  State // of the item, after the end
	format uint64
	pid    uint64
	anew   bool // whether former runs do not count
}

type rowKind int

const (
	otherRow rowKind = iota
	runRow
	startRow
	endRow
)

// A rawRow has the values of a row, as they are written.
type rawRow struct {
	kind, item, n, seq, outcome, format, pid, resume []byte
}

func (w *rawRow) field(name string) *[]byte {
	switch name {
	case "type":
		return &w.kind
	case "item":
		return &w.item
	case "n":
		return &w.n
	case "seq":
		return &w.seq
	case "outcome":
		return &w.outcome
	case "format":
		return &w.format
	case "pid":
		return &w.pid
	case "resume":
		return &w.resume
	}
	return nil
}

// parse reads a row, without its newline.
func parse(line []byte) (row, bool) {
	var w rawRow
	if !w.scan(line) {
		w = rawRow{}
		if !w.decode(line) {
			return row{}, false
		}
	}
	return w.row()
}

// decode reads any object, as one may look after somebody has edited it.
func (w *rawRow) decode(line []byte) bool {
	var values map[string]json.RawMessage
	if json.Unmarshal(line, &values) != nil || values == nil {
		return false
	}
	for name, value := range values {
		if at := w.field(name); at != nil {
			*at = value
		}
	}
	return true
}

// scan reads an object of strings, numbers and literals without spaces between them, as nearly all of ours are, and
// some ten times as fast as decode. It reports whether it was one.
func (w *rawRow) scan(p []byte) bool {
	if len(p) < 2 || p[0] != '{' {
		return false
	}
	for i := 1; i < len(p); i++ {
		end := scanString(p, i)
		if end < 0 || end >= len(p) || p[end] != ':' {
			return false
		}
		name := p[i+1 : end-1]
		i = end + 1
		if end = scanValue(p, i); end < 0 || end >= len(p) {
			return false
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			return false
		}
		if at := w.field(string(name)); at != nil {
			*at = p[i:end]
		}
		switch {
		case p[end] == '}':
			return end == len(p)-1
		case p[end] != ',':
			return false
		}
		i = end
	}
	return false
}

// scanValue returns where the value ends that begins at i, or -1.
func scanValue(p []byte, i int) int {
	if i >= len(p) {
		return -1
	}
	switch c := p[i]; {
	case c == '"':
		return scanString(p, i)
	case c == '-' || c >= '0' && c <= '9':
		return scanNumber(p, i)
	}
	for _, literal := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(p[i:], []byte(literal)) {
			return i + len(literal)
		}
	}
	return -1
}

func scanString(p []byte, i int) int {
	if i >= len(p) || p[i] != '"' {
		return -1
	}
	for i++; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			i++
			switch {
			case i >= len(p):
				return -1
			case p[i] == 'u':
				if i+4 >= len(p) || !isHex(p[i+1:i+5]) {
					return -1
				}
				i += 4
			case bytes.IndexByte([]byte(`"\/bfnrt`), p[i]) < 0:
				return -1
			}
		}
	}
	return -1
}

func isHex(p []byte) bool {
	for _, c := range p {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func scanNumber(p []byte, i int) int {
	if p[i] == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(p) && p[i] >= '0' && p[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(p) && p[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(p) && p[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(p) && (p[i] == 'e' || p[i] == 'E') {
		return -1 // we write none
	}
	return i
}

// row makes a row of its values.
func (w *rawRow) row() (r row, ok bool) {
	kind, ok := text(w.kind)
	if !ok {
		return r, false
	}
	switch kind {
	case "run":
		r.kind = runRow
		r.format, ok = number(w.format)
		if pid, known := number(w.pid); known {
			r.pid = pid
		}
		r.anew = string(w.resume) == "false"
		return r, ok && r.format > 0
	case "start":
		r.kind, r.state = startRow, InFlight
	case "end":
		r.kind = endRow
		outcome, ok := text(w.outcome)
		if !ok {
			return r, false
		}
		switch Outcome(outcome) {
		case OK:
			r.state = Good
		case Failed, Timeout:
			r.state = Bad
		case Retry, Throttled, Interrupted, Unstarted:
			r.state = Pending
		default:
			return r, false
		}
	default:
		return r, true
	}
	if len(w.item) != 2+2*len(r.item.Hash) || w.item[0] != '"' {
		return r, false
	}
	if _, err := hex.Decode(r.item.Hash[:], w.item[1:len(w.item)-1]); err != nil {
		return r, false
	}
	n, okN := number(w.n)
	seq, okSeq := number(w.seq)
	if !okN || !okSeq || n < 1 || seq < 1 {
		return r, false
	}
	r.item.N, r.seq = int(n), uint32(seq)
	return r, true
}

// text returns a string that is written without escapes, as those are that we look for.
func text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return "", false
	}
	return string(value[1 : len(value)-1]), true
}

// number returns a whole number of 32 bits.
func number(value []byte) (uint64, bool) {
	if len(value) == 0 || len(value) > 10 {
		return 0, false
	}
	var n uint64
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= math.MaxUint32
}
