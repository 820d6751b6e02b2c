package journal

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// inputKept is how much of an input is in a row.
	inputKept = 256
	// keyKept is how much of a key is.
	keyKept = 256
	// commandKept is how much of a command is in the run row.
	commandKept = 4096
	// maxRow is more than any row has, with each byte written as \u00ff.
	maxRow = 64 << 10
)

// timeFormat is RFC 3339, in UTC, as wide for each time, so that they sort as text.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// A row is an object of names in a set order. The type comes first, then the time, then what the row is about.

func appendHead(b []byte, kind string, t time.Time) []byte {
	if t.IsZero() {
		t = time.Now()
	}
	b = append(b, `{"type":"`...)
	b = append(b, kind...)
	b = append(b, `","time":"`...)
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"')
}

func appendRun(b []byte, o Options, pid int) []byte {
	b = appendHead(b, "run", o.Time)
	b = appendInt(b, "format", Format)
	b = appendInt(b, "pid", int64(pid))
	b = append(b, `,"resume":`...)
	b = strconv.AppendBool(b, o.Resume)
	b = appendText(b, "version", cut(o.Version, keyKept))
	b = appendText(b, "mode", cut(o.Mode, keyKept))
	b = append(b, `,"command":[`...)
	left := commandKept
	for i, w := range o.Command {
		if left <= 0 {
			return append(b, "],\"cut\":true}\n"...)
		}
		if i > 0 {
			b = append(b, ',')
		}
		kept := cut(w, left)
		b = appendString(b, kept)
		left -= len(w) + 1
	}
	b = append(b, ']')
	if left < -1 {
		b = append(b, `,"cut":true`...)
	}
	if o.Key != "" {
		b = appendText(b, "key", cut(o.Key, keyKept))
	}
	return append(b, "}\n"...)
}

func appendItem(b []byte, i Item, seq, attempt int) []byte {
	b = append(b, `,"item":"`...)
	b = hex.AppendEncode(b, i.Hash[:])
	b = append(b, '"')
	b = appendInt(b, "n", int64(i.N))
	b = appendInt(b, "seq", int64(seq))
	return appendInt(b, "attempt", int64(attempt))
}

func appendStart(b []byte, s *Start) []byte {
	b = appendHead(b, "start", s.Time)
	b = appendItem(b, s.Item, s.Seq, s.Attempt)
	b = appendInt(b, "slot", int64(s.Slot))
	b = appendSeconds(b, "waited", s.Waited)
	if s.Key != "" {
		b = appendText(b, "key", cut(s.Key, keyKept))
	}
	return append(appendInput(b, s.Input), "}\n"...)
}

func appendEnd(b []byte, e *End) []byte {
	b = appendHead(b, "end", e.Time)
	b = appendItem(b, e.Item, e.Seq, e.Attempt)
	b = appendText(b, "outcome", string(e.Outcome))
	b = appendInt(b, "exit", int64(e.Exit))
	if e.Signal != 0 {
		b = appendInt(b, "signal", int64(e.Signal))
	}
	b = appendSeconds(b, "ran", e.Ran)
	if e.RetryAfter > 0 {
		b = appendSeconds(b, "retry_after", e.RetryAfter)
	}
	b = appendInt(b, "stdout", e.Stdout)
	b = appendInt(b, "stderr", e.Stderr)
	return append(b, "}\n"...)
}

func appendFlight(b []byte, f *Flight, a Action) []byte {
	b = appendHead(b, "in-flight", time.Time{})
	b = appendItem(b, f.Item, f.Seq, f.Attempt)
	b = appendText(b, "action", a.String())
	if !f.Started.IsZero() {
		b = append(b, `,"started":"`...)
		b = f.Started.UTC().AppendFormat(b, timeFormat)
		b = append(b, '"')
	}
	return append(appendInput(b, []byte(f.Input)), "}\n"...)
}

func appendStop(b []byte, s *Stop) []byte {
	b = appendHead(b, "stop", s.Time)
	b = appendText(b, "reason", cut(s.Reason, keyKept))
	b = appendInt(b, "ok", int64(s.OK))
	b = appendInt(b, "failed", int64(s.Failed))
	b = appendInt(b, "skipped", int64(s.Skipped))
	b = appendInt(b, "left", int64(s.Left))
	b = appendInt(b, "attempts", int64(s.Attempts))
	b = appendInt(b, "throttled", int64(s.Throttled))
	return append(b, "}\n"...)
}

// appendInput appends the start of an input: as it is if it's text, else in base64.
func appendInput(b, input []byte) []byte {
	kept := input[:min(len(input), inputKept)]
	if len(kept) < len(input) { // not in the middle of a character
		for i := len(kept) - 1; i >= 0 && i >= len(kept)-utf8.UTFMax; i-- {
			if utf8.RuneStart(input[i]) {
				if !utf8.FullRune(kept[i:]) && utf8.FullRune(input[i:]) {
					kept = kept[:i]
				}
				break
			}
		}
	}
	if utf8.Valid(kept) {
		b = append(b, `,"input":`...)
		b = appendString(b, string(kept))
	} else {
		b = append(b, `,"input64":"`...)
		b = base64.StdEncoding.AppendEncode(b, kept)
		b = append(b, '"')
	}
	if len(kept) < len(input) {
		b = append(b, `,"cut":true`...)
	}
	return b
}

func appendInt(b []byte, name string, n int64) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendInt(b, n, 10)
}

// appendSeconds appends seconds, to the microsecond.
func appendSeconds(b []byte, name string, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	b = appendInt(b, name, us/1e6)
	b = append(b, '.')
	for digit := int64(1e5); digit > 0; digit /= 10 {
		b = append(b, '0'+byte(us/digit%10))
	}
	return b
}

func appendText(b []byte, name, text string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, text)
}

// appendString appends a JSON string. Bytes that are no UTF-8 are replaced.
func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ':
			b = append(b, `\u00`...)
			b = hex.AppendEncode(b, []byte{c})
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// cut returns no more than most bytes of s, and no part of a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
