package preset_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/preset"
)

// attempt runs a command as the preset wants it, and says what came out.
func attempt(t *testing.T, p preset.Preset, argv ...string) feedback.Verdict {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skip(err)
	}
	headers, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = headers.Close() }()
	name := headers.Name()
	if runtime.GOOS != "windows" {
		name = "/dev/fd/3"
	}
	argv = p.Insert(argv, name)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"), p.Env...)
	if runtime.GOOS != "windows" {
		cmd.ExtraFiles = []*os.File{headers}
	}
	var stdout, stderr, head feedback.Window
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if exit := (*exec.ExitError)(nil); !errors.As(cmd.Run(), &exit) && cmd.ProcessState == nil {
		t.Fatalf("%q did not run", argv)
	}
	if _, err := io.Copy(&head, io.NewSectionReader(headers, 0, 1<<20)); err != nil {
		t.Fatal(err)
	}
	a := feedback.Attempt{ExitCode: cmd.ProcessState.ExitCode(), Stdout: &stdout, Stderr: &stderr, Headers: &head}
	v := p.Rules().Judge(a, time.Now())
	t.Logf("%q: exit %d, %s%s%+v", argv, a.ExitCode, head.Bytes(), stderr.Bytes(), v)
	return v
}

// answer serves one answer, and counts the calls.
func answer(t *testing.T, status int, body string, headers ...string) (url string, calls *atomic.Int64) {
	t.Helper()
	calls = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		calls.Add(1)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

func TestRealCurl(t *testing.T) {
	p := lookup(t, "curl")
	in30s := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name    string
		status  int
		headers []string
		args    []string // before the URL
		path    string
		want    feedback.Kind
		after   time.Duration
		why     string
	}{
		{"429", 429, []string{"Retry-After", "7"}, []string{"-sf"}, "", feedback.Throttled, 7 * time.Second, `headers has "HTTP/1.1 429"`},
		{"429 without -f", 429, []string{"Retry-After", "7"}, []string{"-s"}, "", feedback.Throttled, 7 * time.Second, `headers has "HTTP/1.1 429"`},
		{"429 behind a redirect", 429, []string{"Retry-After-Ms", "1500"}, []string{"-sfL"}, "/moved", feedback.Throttled, 1500 * time.Millisecond, ""},
		{"429 that says nothing", 429, nil, []string{"-sf"}, "", feedback.Throttled, 0, ""},
		{"429 with a date", 429, []string{"Retry-After", in30s, "Date", time.Now().UTC().Format(http.TimeFormat)}, []string{"-q", "-sf"}, "", feedback.Throttled, 30 * time.Second, ""},
		{"503 with Retry-After", 503, []string{"Retry-After", "1"}, []string{"-sf"}, "", feedback.Throttled, time.Second, ""},
		{"503", 503, nil, []string{"-sf"}, "", feedback.Retry, 0, ""},
		{"404", 404, nil, []string{"-sf"}, "", feedback.Failed, 0, ""},
		{"200", 200, []string{"Retry-After", "1"}, []string{"-sf"}, "", feedback.Succeeded, 0, ""},
		{"their own headers", 429, []string{"Retry-After", "1"}, []string{"-sSf", "-D", os.DevNull}, "", feedback.Throttled, 0, `stderr has "The requested URL returned error: 429"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, calls := answer(t, c.status, "body", c.headers...)
			argv := append(append([]string{"curl"}, c.args...), url+c.path)
			v := attempt(t, p, argv...)
			if off := v.After - c.after; v.Kind != c.want || off < -time.Second || off > time.Second || c.why != "" && v.Why != c.why {
				t.Errorf("%+v, want %s after %v because %s", v, c.want, c.after, c.why)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%d calls", n)
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		s := httptest.NewServer(nil)
		s.Close()
		if v := attempt(t, p, "curl", "-sf", s.URL); v.Kind != feedback.Retry {
			t.Errorf("%+v", v)
		}
	})
}

// A retry in .curlrc would make calls that nobody knows of.
func TestRealCurlDoesNotRetry(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("retry = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("CURL_HOME", home)
	url, calls := answer(t, 503, "")
	if v := attempt(t, lookup(t, "curl"), "curl", "-s", url); v.Kind != feedback.Retry || calls.Load() != 1 {
		t.Errorf("%+v after %d calls", v, calls.Load())
	}
}

func TestRealAWS(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(k, v)
	}
	if err := os.Unsetenv("AWS_PROFILE"); err != nil {
		t.Fatal(err)
	}
	url, calls := answer(t, 503, `<?xml version="1.0"?><Response><Errors><Error><Code>RequestLimitExceeded</Code>`+
		`<Message>Request limit exceeded.</Message></Error></Errors><RequestID>x</RequestID></Response>`, "Content-Type", "text/xml")
	v := attempt(t, lookup(t, "aws"), "aws", "--endpoint-url", url, "ec2", "describe-instances")
	if v.Kind != feedback.Throttled || v.Why != `stderr has "An error occurred (RequestLimitExceeded)"` || calls.Load() != 1 {
		t.Errorf("%+v after %d calls", v, calls.Load())
	}
}

func TestRealKubectl(t *testing.T) {
	t.Setenv("KUBECONFIG", os.DevNull)
	// Without Retry-After kubectl does not try again.
	url, _ := answer(t, 429, "Too many requests, please try again later.\n", "Content-Type", "text/plain")
	v := attempt(t, lookup(t, "kubectl"), "kubectl", "--server", url, "get", "--raw", "/api/v1/pods")
	if v.Kind != feedback.Throttled || !strings.Contains(v.Why, "TooManyRequests") {
		t.Errorf("%+v", v)
	}
}

func BenchmarkRules(b *testing.B) {
	for b.Loop() {
		_ = preset.All()[0].Rules()
	}
}

func BenchmarkFirstMatch(b *testing.B) {
	var w feedback.Window
	_, _ = io.Copy(&w, bytes.NewReader(bytes.Repeat([]byte("an ordinary line of output\n"), 100)))
	p := preset.All()[0]
	for b.Loop() {
		p.Rules().Judge(feedback.Attempt{ExitCode: 1, Stderr: &w}, time.Time{})
	}
}
