package dynamostore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
)

// A server is a dynalite on a port that was free, with a table.
type server struct {
	t    testing.TB
	port int
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// dynalite returns the path of the program, or skips the test.
func dynalite(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("THROTTLE_TEST_DYNALITE"); path != "" {
		return path
	}
	if path, err := exec.LookPath("dynalite"); err == nil {
		return path
	}
	for _, root := range []string{".", "../..", "../../.."} {
		path, err := filepath.Abs(filepath.Join(root, "node_modules", ".bin", "dynalite"))
		if _, e := os.Stat(path); err == nil && e == nil {
			return path
		}
	}
	const how = "there is no dynalite: npm install --no-save dynalite, in the root of the repository"
	if os.Getenv("THROTTLE_TEST_SERVERS") == "1" {
		t.Fatal(how)
	}
	t.Skip(how)
	return ""
}

// newServer starts a server with a table, which ends with the test.
func newServer(t testing.TB) *server {
	t.Helper()
	s := emptyServer(t)
	if err := connect(t, s.url()).Init(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

func emptyServer(t testing.TB) *server {
	t.Helper()
	// Not those of whoever runs the tests.
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil { //nolint:usetesting // tests in parallel have the same
			t.Fatal(err)
		}
	}
	s := &server{t: t}
	program := dynalite(t)
	for try := range 5 { // somebody else may take the port before the server does
		s.port = freePort(t)
		if s.start(program) {
			break
		}
		if try == 4 {
			t.Fatal("dynalite does not start")
		}
	}
	t.Cleanup(s.kill)
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()                     //nolint:errcheck // it was free
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens to TCP
}

// start starts it, and reports whether it answers.
func (s *server) start(program string) bool {
	s.t.Helper()
	s.cmd = exec.Command(program, "--host", "127.0.0.1", "--port", strconv.Itoa(s.port), "--createTableMs", "1") //nolint:gosec // those of the tests
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	for {
		if c, err := net.Dial("tcp", s.address()); err == nil {
			_ = c.Close()
			return true
		}
		select {
		case <-s.done:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) url() string { return urlOf("http://" + s.address()) }

func urlOf(endpoint string) string {
	return "dynamodb://throttle?region=eu-west-1&endpoint=" + endpoint
}

func (s *server) open(t testing.TB, key string, o dynamostore.Options) *dynamostore.Store {
	t.Helper()
	return open(t, s.url(), key, o)
}

func open(t testing.TB, url, key string, o dynamostore.Options) *dynamostore.Store {
	t.Helper()
	if o.Dial == nil {
		o.Dial = dynamosdk.Dial
	}
	st, err := dynamostore.Open(context.Background(), url, key, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// A proxy passes requests on to a server, and may do something else first.
type proxy struct {
	*http.Server
	address string
	reads   atomic.Int64
	writes  atomic.Int64
	// fault may answer a request, before it is passed on or in place of that; op is "GetItem". It returns false to have it passed on.
	fault atomic.Pointer[func(w http.ResponseWriter, op string, pass func()) bool]
	date  atomic.Int64 // ns that the Date of answers is shifted by
}

func (s *server) proxy(t testing.TB) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String()}
	p.Server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, s) })}
	go func() { _ = p.Serve(l) }()
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, s *server) {
	body, _ := io.ReadAll(r.Body)
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch op {
	case "GetItem":
		p.reads.Add(1)
	case "UpdateItem":
		p.writes.Add(1)
	}
	pass := func() *http.Response {
		out, _ := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, "http://"+s.address()+r.URL.Path, bytes.NewReader(body))
		out.Header = r.Header.Clone()
		response, err := http.DefaultClient.Do(out)
		if err != nil {
			return nil
		}
		return response
	}
	if fault := p.fault.Load(); fault != nil && (*fault)(w, op, func() {
		if response := pass(); response != nil {
			_ = response.Body.Close()
		}
	}) {
		return
	}
	response := pass()
	if response == nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	if d := p.date.Load(); d != 0 {
		w.Header().Set("Date", time.Now().Add(time.Duration(d)).UTC().Format(http.TimeFormat))
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

func (p *proxy) url() string { return urlOf("http://" + p.address) }

// failWith answers with an error of DynamoDB.
func failWith(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": "it says " + code})
}

// cut drops the connection, so that the answer is lost.
func cut(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			_ = c.Close()
		}
	}
}

// create makes a table of another kind.
func (s *server) create(t testing.TB, table string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address(), strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.CreateTable")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("%s", body)
	}
	pass(50 * time.Millisecond) // it takes a moment to be there
}
