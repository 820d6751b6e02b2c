package feedback_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
)

func window(s string) *feedback.Window {
	w := feedback.NewWindow(nil)
	_, _ = w.Write([]byte(s))
	return w
}

func conditions(t *testing.T, list ...string) (cs []feedback.Condition) {
	t.Helper()
	for _, s := range list {
		c, err := feedback.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	return cs
}

func TestMatch(t *testing.T) {
	text := func(stderr string) feedback.Attempt { return feedback.Attempt{Stderr: window(stderr)} }
	exit := func(code int) feedback.Attempt { return feedback.Attempt{ExitCode: code} }
	killed := feedback.Attempt{ExitCode: 137, Signal: syscall.SIGKILL}
	for _, c := range []struct {
		condition string
		a         feedback.Attempt
		want      string // "": no match
	}{
		{"exit=1,2,10-20", exit(2), "exit 2"},
		{"exit=1,2,10-20", exit(10), "exit 10"},
		{"exit=1,2,10-20", exit(20), "exit 20"},
		{"exit=1,2,10-20", exit(21), ""},
		{"exit=1,2,10-20", exit(0), ""},
		{"exit=255", exit(255), "exit 255"},
		{"exit= 3 , 5-", exit(5), "exit 5"},
		{"exit=1-", exit(3221225786), "exit 3221225786"},
		{"exit=1-", exit(0), ""},
		{"exit=137", killed, "signal KILL"},
		{"signal", killed, "signal KILL"},
		{"signal", exit(137), ""},
		{"signal=9", killed, "signal KILL"},
		{"signal=TERM, sigkill", killed, "signal KILL"},
		{"signal=TERM,INT", killed, ""},
		{"signal=TERM,INT", exit(0), ""},
		{"stderr=^slow down$", text("error\nslow down\n"), `stderr has "slow down"`},
		{"stderr=^slow down$", text("please slow down\n"), ""},
		{"stderr=\\Aslow", text("x\nslow down"), ""},
		{"stderr=(?i)SLOW", text("slow"), `stderr has "slow"`},
		{"stderr=a=b", text("a=b"), `stderr has "a=b"`},
		{"stderr=\\A\\z", text(""), `stderr matches "\\A\\z"`},
		{"stderr=(?s)a.*", text("a\xff\nb"), `stderr has "a\xff"`},
		{"stderr=x+", text(strings.Repeat("x", 500)), `stderr has "` + strings.Repeat("x", 100) + `"...`},
		{"stdout=slow", text("slow"), ""},
		{"stdout=slow", feedback.Attempt{Stdout: window("slow")}, `stdout has "slow"`},
		{"headers=\\AHTTP/\\S+ 429 ", feedback.Attempt{Headers: window("HTTP/1.1 429 \r\n\r\nHTTP/2 200 \r\n\r\n")}, ""},
		{"headers=\\AHTTP/\\S+ 429$", feedback.Attempt{Headers: window("HTTP/2 302\r\na: b\r\n\r\nHTTP/2 429\r\na: b\r\n\r\n")}, `headers has "HTTP/2 429"`},
	} {
		got, ok := conditions(t, c.condition)[0].Match(c.a)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.condition, got, ok, c.want)
		}
	}
	c := conditions(t, "stderr=slow")[0].OfFailures()
	if _, ok := c.Match(text("slow")); ok {
		t.Error("a condition for failures matched a success")
	}
	if _, ok := c.Match(feedback.Attempt{ExitCode: 1, Stderr: window("slow")}); !ok {
		t.Error("a condition for failures did not match a failure")
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for s, want := range map[string]string{
		"":                           `there is no ""`,
		"429":                        `there is no "429"`,
		"stdin=x":                    `there is no "stdin"`,
		"exit":                       `"" is no exit code`,
		"exit=":                      `"" is no exit code`,
		"exit=1,,2":                  `"" is no exit code`,
		"exit=1,x":                   `"x" is no exit code`,
		"exit=-1":                    `"-1" is no exit code`,
		"exit=!0":                    `"!0" is no exit code`,
		"exit=1-2-3":                 `"1-2-3" is no exit code`,
		"exit=99999999999":           `"99999999999" is no exit code: they are 1 to `,
		"exit=1-9223372036854775808": `"1-9223372036854775808" is no exit code: they are 1 to `,
		"exit=0":                     `"0" has exit code 0, which is success: say what the output has, by stdout=RE or stderr=RE`,
		"exit=0-5":                   `"0-5" has exit code 0`,
		"exit=5,0-":                  `"0-" has exit code 0`,
		"exit=3,20-10":               `the exit codes "20-10" go downwards`,
		"signal=":                    `unknown signal ""`,
		"signal=TERM,X":              `unknown signal "X"`,
		"signal=0":                   `unknown signal "0"`,
		"stderr":                     `there is no regular expression`,
		"stderr=":                    `there is no regular expression`,
		"stderr=a(b":                 "missing closing ): `a(b`",
		"stdout=a[z-a]":              "invalid character class range: `z-a`",
	} {
		_, err := feedback.Parse(s)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("condition %q", s)) {
			t.Errorf("%q: %v; want %s", s, err, want)
		}
	}
}

func TestKnownPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a bad condition was taken for a good one")
		}
	}()
	feedback.Known("stderr=(").Match(feedback.Attempt{})
}

func TestJudge(t *testing.T) {
	rules := feedback.Rules{
		ThrottledOn: conditions(t, "exit=75", "stderr=429"),
		RetryOn:     conditions(t, "exit=7,75", "stdout=try again"),
	}
	for _, c := range []struct {
		rules feedback.Rules
		a     feedback.Attempt
		want  feedback.Verdict
	}{
		{rules, feedback.Attempt{}, feedback.Verdict{}},
		{rules, feedback.Attempt{ExitCode: 1}, feedback.Verdict{Kind: feedback.Failed}},
		{rules, feedback.Attempt{ExitCode: 7}, feedback.Verdict{Kind: feedback.Retry, Why: "exit 7"}},
		{rules, feedback.Attempt{ExitCode: 75}, feedback.Verdict{Kind: feedback.Throttled, Why: "exit 75"}},
		{rules, feedback.Attempt{Stdout: window("try again in 2s")}, feedback.Verdict{Kind: feedback.Retry, After: 2 * time.Second, Why: `stdout has "try again"`}},
		{rules, feedback.Attempt{ExitCode: 7, Stderr: window("429"), Stdout: window("retry after 3 seconds")}, feedback.Verdict{Kind: feedback.Throttled, After: 3 * time.Second, Why: `stderr has "429"`}},
		{feedback.Rules{}, feedback.Attempt{}, feedback.Verdict{}},
		{feedback.Rules{}, feedback.Attempt{ExitCode: 1}, feedback.Verdict{Kind: feedback.Retry}},
		{feedback.Rules{}, feedback.Attempt{ExitCode: 143, Signal: syscall.SIGTERM}, feedback.Verdict{Kind: feedback.Retry}},
		{feedback.Rules{ThrottledOn: rules.ThrottledOn}, feedback.Attempt{ExitCode: 1}, feedback.Verdict{Kind: feedback.Retry}},
		// Only a remote that throttles us has its quota's reset in mind.
		{rules, feedback.Attempt{ExitCode: 75, Headers: window("HTTP/2 403\nX-RateLimit-Reset: 60\n")}, feedback.Verdict{Kind: feedback.Throttled, After: time.Minute, Why: "exit 75"}},
		{rules, feedback.Attempt{ExitCode: 7, Headers: window("HTTP/2 502\nX-RateLimit-Reset: 60\n")}, feedback.Verdict{Kind: feedback.Retry, Why: "exit 7"}},
		{rules, feedback.Attempt{ExitCode: 7, Headers: window("HTTP/2 502\nRetry-After: 60\n")}, feedback.Verdict{Kind: feedback.Retry, After: time.Minute, Why: "exit 7"}},
		// What the headers say goes before any text.
		{rules, feedback.Attempt{ExitCode: 75, Headers: window("HTTP/2 429\nRetry-After: 1\n"), Stderr: window("retry after 9s")}, feedback.Verdict{Kind: feedback.Throttled, After: time.Second, Why: "exit 75"}},
	} {
		if got := c.rules.Judge(c.a, time.Now()); got != c.want {
			t.Errorf("%+v:\n got %+v\nwant %+v", c.a, got, c.want)
		}
	}
	for s, want := range map[feedback.Stream]bool{feedback.Stdout: true, feedback.Stderr: true, feedback.Headers: false} {
		if got := rules.Reads(s); got != want {
			t.Errorf("reads %s: %v", s, got)
		}
	}
}

// now is Sun, 06 Nov 1994 08:49:37 GMT, the time of the examples of RFC 9110, plus 40 years.
func now() time.Time { return time.Date(2034, time.November, 6, 8, 49, 37, 0, time.UTC) }

// after is how long the remote asks a throttled attempt to wait.
func after(a feedback.Attempt) time.Duration {
	a.ExitCode = 1
	return feedback.Rules{ThrottledOn: []feedback.Condition{feedback.Known("exit=1-")}}.Judge(a, now()).After
}

func TestWaitOfHeaders(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		headers string // of a response with status 429
		want    time.Duration
	}{
		{"Retry-After: 30", 30 * s},
		{"retry-after:30", 30 * s},
		{"Retry-After: 1.5", 1500 * time.Millisecond},
		{"Retry-After: 0", 0},
		{"Retry-After: -5", 0},
		{"Retry-After:", 0},
		{"Retry-After: -", 0},
		{"Retry-After: soon", 0},
		{"Retry-After: 30s", 0},
		{"Retry-After: 99999999999999999999999", feedback.MaxWait},
		{"Retry-After: " + strings.Repeat("9", 400), feedback.MaxWait},
		{"X-Retry-After: 30", 0},
		// The three forms of a date.
		{"Retry-After: Mon, 06 Nov 2034 08:50:00 GMT", 23 * s},
		{"Retry-After: Monday, 06-Nov-34 08:50:00 GMT", 23 * s},
		{"Retry-After: Mon Nov  6 08:50:00 2034", 23 * s},
		{"Retry-After: Mon, 06 Nov 2034 08:00:00 GMT", 0},
		{"Retry-After: Mon, 06 Nov 2934 08:00:00 GMT", feedback.MaxWait},
		{"Retry-After: Monday, 06-Nov-94 08:50:00 GMT", 0}, // 1994
		{"Retry-After: Mon, 06 Nov 2034 08:50:00 +0100", 0},
		// A clock that is an hour ahead of ours, whatever the order.
		{"Date: Mon, 06 Nov 2034 09:49:37 GMT\r\nRetry-After: Mon, 06 Nov 2034 09:49:47 GMT", 10 * s},
		{"Retry-After: Mon, 06 Nov 2034 09:49:47 GMT\r\nDate: Mon, 06 Nov 2034 09:49:37 GMT", 10 * s},
		{"Date: yesterday\r\nRetry-After: Mon, 06 Nov 2034 08:49:47 GMT", 10 * s},
		{"Retry-After-Ms: 250", 250 * time.Millisecond},
		{"x-ms-retry-after-ms: 1250", 1250 * time.Millisecond},
		{"Retry-After: 1\r\nretry-after-ms: 1250", 1250 * time.Millisecond}, // the longest
		{"Retry-After: 1\r\nRetry-After: 7\r\nRetry-After: 3", 7 * s},
		// Quotas: in seconds, and as a time in seconds or milliseconds since 1970.
		{"RateLimit-Reset: 50", 50 * s},
		{fmt.Sprintf("X-RateLimit-Reset: %d", now().Unix()+10), 10 * s},
		{fmt.Sprintf("X-RateLimit-Reset: %d", now().Unix()-10), 0},
		{fmt.Sprintf("X-RateLimit-Reset: %d", now().UnixMilli()+10_500), 10500 * time.Millisecond},
		{fmt.Sprintf("Date: Mon, 06 Nov 2034 09:49:37 GMT\r\nX-RateLimit-Reset: %d", now().Unix()+3610), 10 * s},
		{"X-Rate-Limit-Reset: 1.5", 1500 * time.Millisecond},
		{"X-RateLimit-Reset-After: 1.5", 1500 * time.Millisecond},
		{"X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 12", 12 * s},
		{"X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 59\r\nX-RateLimit-Reset: 12", 0},
		{"X-RateLimit-Reset: 12\r\nX-RateLimit-Remaining: 59\r\nRetry-After: 60", 60 * s},
		{"X-RateLimit-Reset: 12\r\nRetry-After: 3", 3 * s}, // goes before the reset of a quota
		{`RateLimit: "default";r=0;t=30`, 30 * s},
		{`RateLimit: "burst";r=5;t=30, "daily";r=0;t=3000`, 3000 * s},
		{`RateLimit: "default";r=50;t=30`, 0},
		{`RateLimit: r=0;t=x`, 0},
	} {
		text := "HTTP/1.1 429 Too Many Requests\r\n" + c.headers + "\r\n\r\n"
		if got := after(feedback.Attempt{Headers: window(text)}); got != c.want {
			t.Errorf("%q: %v, want %v", c.headers, got, c.want)
		}
	}
}

func TestWaitOfTheLastResponse(t *testing.T) {
	const redirect = "HTTP/1.1 301 Moved\r\nRetry-After: 100\r\nLocation: /\r\n\r\n"
	const last = "HTTP/2 429 \r\nretry-after: 2\r\n\r\n"
	for _, c := range []struct {
		a    feedback.Attempt
		want time.Duration
	}{
		{feedback.Attempt{Headers: window(redirect + last)}, 2 * time.Second},
		{feedback.Attempt{Headers: window(redirect + "HTTP/2 429 \r\n\r\n")}, 0},
		{feedback.Attempt{Headers: window("HTTP/1.1 100 Continue\r\n\r\n" + redirect + "x: HTTP/2 200 OK\r\n")}, 100 * time.Second},
		{feedback.Attempt{Stdout: window(redirect + last + `{"error":"HTTP/2 200 is not it"}`)}, 2 * time.Second},
		{feedback.Attempt{Stderr: window("> GET / HTTP/1.1\n< HTTP/1.1 301 Moved\n< Retry-After: 100\n<\n< HTTP/1.1 429\n< Retry-After: 2\n<\n")}, 2 * time.Second},
		{feedback.Attempt{Stderr: window("Retry-After: 3\n"), Stdout: window("Retry-After: 2\n")}, 3 * time.Second},
	} {
		if got := after(c.a); got != c.want {
			t.Errorf("%s%s%s: %v, want %v", c.a.Headers.Bytes(), c.a.Stdout.Bytes(), c.a.Stderr.Bytes(), got, c.want)
		}
	}
}

func TestWaitOfText(t *testing.T) {
	s := time.Second
	for text, want := range map[string]time.Duration{
		"Rate limit reached for gpt-4 in organization org-x on requests per min. Limit: 3 / min. Please try again in 20s.": 20 * s,
		"Please try again in 6m0s. Visit":            6 * time.Minute,
		"Please try again in 1.2s. Visit":            1200 * time.Millisecond,
		"Please try again in 28ms.":                  28 * time.Millisecond,
		"Please try again in 1h2m3.5s":               time.Hour + 2*time.Minute + 3500*time.Millisecond,
		"try again in 1 minute and 30 seconds":       90 * s,
		"try again in 30 seconds, 5 requests left":   30 * s,
		"Please retry after 30 seconds.":             30 * s,
		"Please try again after '5' minutes.":        5 * time.Minute,
		"Retry after 17.":                            17 * s,
		"Please retry in 34.07482s.":                 34074820 * time.Microsecond,
		"please wait 2 minutes before you try again": 2 * time.Minute,
		`{"message": "You are being rate limited.", "retry_after": 64.57, "global": false}`: 64570 * time.Millisecond,
		`{"ok":false,"error_code":429,"parameters":{"retry_after":35}}`:                     35 * s,
		`{\"retry_after\":35,\"x\":1}`:                                                      35 * s,
		`{"retry_after": "35"}`:                                                             35 * s,
		`{"retry_after_ms":1500}`:                                                           1500 * time.Millisecond,
		`{"retryAfterSeconds": 3}`:                                                          3 * s,
		`{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "13s"}`:        13 * s,
		"  retryDelay: 13.5s\n":                                                             13500 * time.Millisecond,
		"retry_delay {\n  seconds: 13\n}":                                                   13 * s,
		"retry_after=30 request_id=7":                                                       30 * s,
		`{"retry_after":1},{"retry_after":3},{"retry_after":2}`:                             3 * s,
		"I0102 round_trippers.go:466]     Retry-After: 4":                                   4 * s,
		// None of these.
		"":                            0,
		"will retry after 3 attempts": 0,
		"retry after 2034-11-06":      0,
		"retry after 1,000 ms":        0,
		"retry_after: 1e5":            0,
		"try again in 5":              0,
		"wait 5 times":                0,
		"retryDelay: 1000":            0, // of milliseconds?
		"retry_after: -5":             0,
		"retry after a while":         0,
		"Waited for 1.2s due to client-side throttling":     0,
		"retry after " + strings.Repeat("9", 500) + " days": feedback.MaxWait,
		"try again in 300d 300d":                            feedback.MaxWait,
	} {
		if got := after(feedback.Attempt{Stderr: window(text)}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzWait(f *testing.F) {
	f.Add("HTTP/2 429\r\nRetry-After: 30\r\nDate: Mon, 06 Nov 2034 09:49:37 GMT\r\n", "try again in 6m0s")
	f.Add("X-RateLimit-Reset: 1700000000000\nX-RateLimit-Remaining: 0\nRateLimit: a;r=0;t=9", `"retry_after_ms": 1.5`)
	f.Add("Retry-After: Monday, 06-Nov-34 08:50:00 GMT", "< HTTP/1.1 503 \n< retry-after: 99999999999999999999\nretry_delay {\n seconds: 5")
	f.Add("Retry-After: Mon Nov  6 08:50:00 2034", "try again after '5' minutes and 3 seconds")
	f.Fuzz(func(t *testing.T, headers, text string) {
		for _, a := range []feedback.Attempt{{Headers: window(headers)}, {Stderr: window(text), Stdout: window(headers)}} {
			if d := after(a); d < 0 || d > feedback.MaxWait {
				t.Errorf("%q, %q: %v", headers, text, d)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"exit=1,2-5,7-", "signal=TERM,9", "signal", "stderr=(?i)a|b$", "headers=^x"} {
		f.Add(s, "429", 1)
	}
	f.Fuzz(func(t *testing.T, s, text string, code int) {
		c, err := feedback.Parse(s)
		if err != nil {
			return
		}
		w := window(text)
		what, ok := c.Match(feedback.Attempt{ExitCode: code, Stdout: w, Stderr: w, Headers: w})
		if ok && what == "" {
			t.Errorf("%q matched without saying what", s)
		}
	})
}
