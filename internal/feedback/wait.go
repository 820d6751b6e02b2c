package feedback

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxWait is the longest wait that is read out of an output: what asks for more asks for that.
const MaxWait = 365 * 24 * time.Hour

// lastResponse returns the status line and the headers of the last HTTP response in text, with LF for line ends: those
// before it are redirects, answers of a proxy, or of earlier attempts. Text without a status line, such as the answers of
// an FTP server, is returned whole. As in a log of curl -v, "< " may stand before each line.
func lastResponse(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	for end := len(text); ; {
		i := bytes.LastIndex(text[:end], []byte("HTTP/"))
		if i < 0 {
			return text
		}
		if atLineStart(text[:i]) && isStatusLine(text[i:]) {
			return text[i:]
		}
		end = i
	}
}

func atLineStart(before []byte) bool {
	before = bytes.TrimSuffix(before, []byte("< "))
	return len(before) == 0 || before[len(before)-1] == '\n'
}

// isStatusLine reports whether text begins with one, given that it begins with HTTP/: HTTP/1.1 429 Too Many Requests,
// HTTP/2 429.
func isStatusLine(text []byte) bool {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	_, code, ok := bytes.Cut(line, []byte(" "))
	code, _, _ = bytes.Cut(code, []byte(" "))
	n, err := strconv.Atoi(string(code))
	return ok && err == nil && len(code) == 3 && n >= 100
}

// A wait is how long a response asks to wait, and by what.
type wait struct {
	asked, reset     time.Duration
	isAsked, isReset bool
}

func (w *wait) ask(d time.Duration, ok bool) {
	if ok {
		w.asked, w.isAsked = max(w.asked, d), true
	}
}

func (w *wait) renew(d time.Duration, ok bool) {
	if ok {
		w.reset, w.isReset = max(w.reset, d), true
	}
}

// longest is the longest wait that was asked for. The reset of a quota counts only if resets does, and where nothing was
// asked for: so it is in draft-ietf-httpapi-ratelimit-headers, and so GitHub wants it.
func (w *wait) longest(resets bool) (time.Duration, bool) {
	if w.isAsked || !resets {
		return w.asked, w.isAsked
	}
	return w.reset, w.isReset
}

// headersWait returns how long a response asks to wait, and whether it does. What is malformed is ignored.
func headersWait(response []byte, now time.Time, resets bool) (time.Duration, bool) {
	var w wait
	w.headers(response, now)
	return w.longest(resets)
}

// textWait is headersWait for an output that has headers or sentences in it, or neither.
func textWait(text []byte, now time.Time, resets bool) (time.Duration, bool) {
	var w wait
	if len(text) > 0 {
		text = lastResponse(text)
		w.headers(text, now)
		w.sentences(string(text))
	}
	return w.longest(resets)
}

// headers finds these headers:
//
//	Retry-After: 30, or an HTTP date      RFC 9110, section 10.2.3. A date is taken relative to that of the response,
//	                                      since the clocks of both sides may differ.
//	Retry-After-Ms, X-Ms-Retry-After-Ms   Azure, OpenAI: milliseconds
//	RateLimit: "name";r=0;t=30            draft-ietf-httpapi-ratelimit-headers: with r=0, t is in seconds
//	RateLimit-Reset, X-RateLimit-Reset    earlier versions of it, and others: seconds; GitHub and others: seconds since
//	                                      1970, sometimes milliseconds. Which it is shows in the size.
//	X-RateLimit-Reset-After               Discord: seconds
//
// A reset counts only if the response does not say that there is quota left (RateLimit-Remaining, X-RateLimit-Remaining).
func (w *wait) headers(response []byte, now time.Time) {
	base := now
	type quota struct {
		left  bool
		reset []string
	}
	quotas := map[string]*quota{"ratelimit": {}, "x-ratelimit": {}, "x-rate-limit": {}}
	var dates []string
	for line := range bytes.Lines(response) {
		name, value, ok := strings.Cut(strings.TrimPrefix(string(bytes.TrimSpace(line)), "< "), ":")
		if !ok {
			continue
		}
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		switch name {
		case "date":
			if t, ok := httpDate(value, now); ok {
				base = t
			}
		case "retry-after":
			if n, ok := number(value); ok {
				w.ask(length(n, time.Second), true)
			} else {
				dates = append(dates, value)
			}
		case "retry-after-ms", "x-ms-retry-after-ms":
			n, ok := number(value)
			w.ask(length(n, time.Millisecond), ok)
		case "ratelimit":
			w.rateLimit(value)
		case "x-ratelimit-reset-after":
			n, ok := number(value)
			w.renew(length(n, time.Second), ok)
		default:
			if q := quotas[strings.TrimSuffix(name, "-remaining")]; q != nil {
				n, ok := number(value)
				q.left = q.left || ok && n > 0
			} else if q := quotas[strings.TrimSuffix(name, "-reset")]; q != nil {
				q.reset = append(q.reset, value)
			}
		}
	}
	for _, value := range dates {
		t, ok := httpDate(value, now)
		w.ask(within(t.Sub(base)), ok)
	}
	for _, q := range quotas {
		for _, value := range q.reset {
			if n, ok := number(value); ok && !q.left {
				w.renew(untilReset(n, base), true)
			}
		}
	}
}

// untilReset tells seconds from times by their size: as seconds, the least of the times would be 31 years.
func untilReset(n float64, base time.Time) time.Duration {
	switch {
	case n >= 1e12:
		n /= 1000
		fallthrough
	case n >= 1e9:
		return length(n-float64(base.UnixMilli())/1000, time.Second)
	}
	return length(n, time.Second)
}

// rateLimit reads the items of a RateLimit header of which nothing is left.
func (w *wait) rateLimit(value string) {
	for item := range strings.SplitSeq(value, ",") {
		var left, until string
		for p := range strings.SplitSeq(item, ";") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(p), "r="); ok {
				left = v
			} else if v, ok := strings.CutPrefix(strings.TrimSpace(p), "t="); ok {
				until = v
			}
		}
		if n, ok := number(until); ok && left == "0" {
			w.renew(length(n, time.Second), true)
		}
	}
}

// httpDate parses the three forms of RFC 9110, section 5.6.7. A year of two digits is at most 50 years in the future.
func httpDate(s string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	t, err := time.Parse("Monday, 02-Jan-06 15:04:05 GMT", s)
	if err != nil {
		return t, false
	}
	for t.Before(now.AddDate(-50, 0, 0)) {
		t = t.AddDate(100, 0, 0)
	}
	for t.After(now.AddDate(50, 0, 0)) {
		t = t.AddDate(-100, 0, 0)
	}
	return t, true
}

// number parses a decimal number. A negative one is 0.
func number(s string) (float64, bool) {
	n, rest := leadingNumber(strings.TrimPrefix(s, "-"))
	if n < 0 || rest != "" {
		return 0, false
	}
	if s[0] == '-' {
		n = 0
	}
	return n, true
}

// leadingNumber returns the number at the start of s, or -1, and what is behind it.
func leadingNumber(s string) (float64, string) {
	end := digits(s)
	if end == 0 {
		return -1, s
	}
	if end < len(s) && s[end] == '.' {
		if fraction := digits(s[end+1:]); fraction > 0 {
			end += 1 + fraction
		}
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	if err != nil { // out of range
		n = math.MaxFloat64
	}
	return n, s[end:]
}

func digits(s string) (n int) {
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// length returns n units, between 0 and MaxWait.
func length(n float64, unit time.Duration) time.Duration {
	if n >= float64(MaxWait/unit) {
		return MaxWait
	}
	return max(0, time.Duration(math.Round(n*float64(unit))))
}

func within(d time.Duration) time.Duration { return min(max(d, 0), MaxWait) }

// sentence finds where a wait is named. Group 1 is what names it, 2 the unit in that name, 3 what is between name and number:
//
//	retry after 30 seconds; please try again in 6m0s (OpenAI); Please try again after '5' minutes (Azure); retry in 34.07s
//	"retry_after": 1.5 (Discord), retryAfterSeconds: 1 (Kubernetes), "retryDelay": "13s" (google.rpc.RetryInfo)
//	retry_delay { seconds: 13 } (the same in the text format of protocol buffers); please wait 30 seconds
const sentence = `(?i)\b(retry[-_ ]?after|retry[-_ ]?delay|retry in|try again (?:in|after)|wait(?: for)?(?: another| at least)?)` +
	`(?:[-_ ]?(?:in[-_ ]?)?(milliseconds|millis|ms|seconds|secs))?\b([\s"'\\:={(]*(?:seconds: ?)?)[0-9]`

// sentences finds a wait in text that people or programs read, as far as its unit is clear.
func (w *wait) sentences(text string) {
	for _, at := range regexp.MustCompile(sentence).FindAllStringSubmatchIndex(text, -1) { // seldom enough
		group := func(i int) string {
			if at[2*i] < 0 {
				return ""
			}
			return strings.ToLower(text[at[2*i]:at[2*i+1]])
		}
		name, between := group(1), group(3)
		isKey := strings.ContainsAny(between, ":=")
		var bare time.Duration // the unit of a number that has none
		switch {
		case group(2) != "":
			bare = units(group(2))
		case strings.HasSuffix(name, "after") && name[0] == 'r', strings.Contains(between, "seconds"):
			bare = time.Second
		}
		w.ask(span(text[at[7]:], bare, isKey))
	}
}

// span parses the wait at the start of s: a number with a unit, or several, such as 6m0s, 1.2s, 30 seconds, '5' minutes; or
// a number without one, if bare is its unit. What follows that is no other word, unless the number is the value of a key.
func span(s string, bare time.Duration, isKey bool) (total time.Duration, ok bool) {
	for {
		n, rest := leadingNumber(s)
		if n < 0 {
			return total, ok
		}
		apart := strings.TrimLeft(rest, " '\"\\")
		word := apart[:letters(apart)]
		if unit := units(strings.ToLower(word)); unit > 0 {
			total, ok = within(total+length(n, unit)), true
			s = strings.TrimPrefix(strings.TrimLeft(apart[len(word):], " ,"), "and ")
			continue
		}
		if ok { // the number belongs to something else
			return total, true
		}
		attached := word != "" && len(apart) == len(rest)
		if bare == 0 || attached || word != "" && !isKey || goesOn(rest) {
			return 0, false
		}
		return length(n, bare), true
	}
}

// goesOn reports whether a number is only the beginning of something, such as a date, a time or 1,000.
func goesOn(rest string) bool {
	return len(rest) > 1 && strings.IndexByte("-/:,.", rest[0]) >= 0 && digits(rest[1:]) > 0
}

func letters(s string) (n int) {
	for n < len(s) && (s[n] == '_' || 'a' <= s[n]|0x20 && s[n]|0x20 <= 'z') {
		n++
	}
	return n
}

// units returns the length of a unit of time, or 0.
func units(word string) time.Duration {
	switch word {
	case "ms", "millis", "millisecond", "milliseconds":
		return time.Millisecond
	case "s", "sec", "secs", "second", "seconds":
		return time.Second
	case "m", "min", "mins", "minute", "minutes":
		return time.Minute
	case "h", "hr", "hrs", "hour", "hours":
		return time.Hour
	case "d", "day", "days":
		return 24 * time.Hour
	}
	return 0
}
