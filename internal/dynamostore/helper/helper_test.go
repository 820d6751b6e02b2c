package helper

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
)

// An echo answers with the key of a request.
type echo struct{ closed *atomic.Int64 }

func (echo) Do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	switch r.Key {
	case "wrong":
		return dynamostore.Response{Date: time.Unix(7, 0)}, &dynamostore.RequestError{Code: "SomeException", Status: 400, Message: "it is wrong"}
	case "slow":
		<-ctx.Done()
		return dynamostore.Response{}, ctx.Err()
	}
	return dynamostore.Response{Item: map[string]dynamostore.Value{
		"k": dynamostore.Chars(r.Key), "n": dynamostore.Number(1<<62 + 1), "b": dynamostore.Bytes([]byte{0, 255}),
	}}, nil
}

func (e echo) Close() error { e.closed.Add(1); return nil }

// piped returns a Helper that is no program, and what ends it.
func piped(t *testing.T, closed *atomic.Int64) (h *Helper, kill func(), starts *atomic.Int64) {
	t.Helper()
	starts = &atomic.Int64{}
	var mu sync.Mutex
	var out *io.PipeWriter
	h = &Helper{Start: func() (io.WriteCloser, io.Reader, error) {
		starts.Add(1)
		inRead, inWrite := io.Pipe()
		outRead, outWrite := io.Pipe()
		mu.Lock()
		out = outWrite
		mu.Unlock()
		go func() {
			err := Serve(context.Background(), inRead, outWrite, func(_ context.Context, at dynamostore.Address) (dynamostore.Client, error) {
				if at.Table == "none" {
					return nil, &dynamostore.RequestError{Code: dynamostore.CodeRegion, Message: "there is no region"}
				}
				return echo{closed}, nil
			})
			_ = inRead.CloseWithError(io.ErrClosedPipe)
			_ = outWrite.CloseWithError(errors.Join(err, io.EOF))
		}()
		return inWrite, outRead, nil
	}}
	t.Cleanup(func() { _ = h.Close() })
	return h, func() {
		mu.Lock()
		defer mu.Unlock()
		_ = out.CloseWithError(errors.New("it was killed"))
	}, starts
}

func dial(t *testing.T, h *Helper) dynamostore.Client {
	t.Helper()
	c, err := h.Dial(t.Context(), dynamostore.Address{Table: "throttle"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func check(t *testing.T, c dynamostore.Client, key string) {
	t.Helper()
	r, err := c.Do(t.Context(), dynamostore.Request{Op: dynamostore.OpGet, Key: key})
	if err != nil || *r.Item["k"].S != key || *r.Item["n"].N != 1<<62+1 || string(r.Item["b"].B) != "\x00\xff" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRequests(t *testing.T) {
	var closed atomic.Int64
	h, _, starts := piped(t, &closed)
	a, b := dial(t, h), dial(t, h)
	var wg sync.WaitGroup
	for _, c := range []dynamostore.Client{a, b} {
		for i := range 50 {
			wg.Go(func() { check(t, c, strings.Repeat("k", i)) })
		}
	}
	wg.Wait()
	r, err := a.Do(t.Context(), dynamostore.Request{Key: "wrong"})
	var e *dynamostore.RequestError
	if !errors.As(err, &e) || e.Code != "SomeException" || e.Status != 400 || e.Message != "it is wrong" || !r.Date.Equal(time.Unix(7, 0)) {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := a.Do(ctx, dynamostore.Request{Key: "slow"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := h.Dial(t.Context(), dynamostore.Address{Table: "none"}); !errors.As(err, &e) || e.Code != dynamostore.CodeRegion {
		t.Errorf("%v", err)
	}
	check(t, b, "last")
	_ = a.Close()
	_ = b.Close()
	check(t, dial(t, h), "another")
	if starts.Load() != 1 || closed.Load() != 2 {
		t.Errorf("started %d times, %d connections closed", starts.Load(), closed.Load())
	}
}

// A program that has ended is started again, and what was asked of it may have been done.
func TestProgramEnds(t *testing.T) {
	h, kill, starts := piped(t, &atomic.Int64{})
	c := dial(t, h)
	lost := make(chan error)
	go func() {
		_, err := c.Do(context.Background(), dynamostore.Request{Key: "slow"})
		lost <- err
	}()
	<-time.After(20 * time.Millisecond)
	kill()
	err := <-lost
	if !dynamostore.IsAway(err) || !strings.Contains(err.Error(), "throttle-dynamodb has ended: it was killed") {
		t.Errorf("%v", err)
	}
	check(t, c, "again")
	if starts.Load() != 2 {
		t.Errorf("started %d times", starts.Load())
	}
}

func TestAnotherProtocol(t *testing.T) {
	h, _, _ := piped(t, &atomic.Int64{})
	r, err := h.running()
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.ask(t.Context(), question{Protocol: protocol + 1, Dial: &dynamostore.Address{Table: "throttle"}})
	if err == nil || !strings.Contains(err.Error(), "not that of this throttle") {
		t.Errorf("%v", err)
	}
	if _, _, err = r.ask(t.Context(), question{Conn: 99, Do: &dynamostore.Request{}}); err == nil {
		t.Error("there is no such connection")
	}
}

func TestNoProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := New("").Dial(t.Context(), dynamostore.Address{Table: "throttle"})
	if err == nil || dynamostore.IsAway(err) || !strings.Contains(err.Error(), "throttle-dynamodb") || !strings.Contains(err.Error(), "same archive") {
		t.Errorf("%v", err)
	}
}

// A real process: it answers, and ends with what it is told to.
func TestProcess(t *testing.T) {
	program := build(t)
	noConfig(t)
	h := New(program)
	var e *dynamostore.RequestError
	if _, err := h.Dial(t.Context(), dynamostore.Address{Table: "throttle"}); !errors.As(err, &e) || e.Code != dynamostore.CodeRegion {
		t.Errorf("no region: %v", err)
	}
	c, err := h.Dial(t.Context(), dynamostore.Address{Table: "throttle", Region: "eu-west-1", Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), dynamostore.Request{Op: dynamostore.OpGet, Key: "k"}); !dynamostore.IsAway(err) {
		t.Errorf("nobody is there: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// One that was stopped reads nothing: who asks does not wait for that for longer than it says.
func TestProgramIsStopped(t *testing.T) {
	h := &Helper{Start: func() (io.WriteCloser, io.Reader, error) {
		_, in := io.Pipe()
		out, _ := io.Pipe()
		return in, out, nil
	}}
	done := make(chan error)
	go func() {
		for range 3 {
			ctx, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
			_, err := h.Dial(ctx, dynamostore.Address{Table: "throttle"})
			stop()
			done <- err
		}
	}()
	for range 3 {
		select {
		case err := <-done:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it waits")
		}
	}
}

// What says who we are is started by the program. It reads from its stdin, as one that asks for a code may, and finds nothing there: not
// our questions. And what it leaves behind does not keep us waiting.
func TestCredentialProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	program := build(t)
	config := t.TempDir() + "/config"
	said := t.TempDir() + "/said"
	script := `sh -c 'cat >` + said + `; sleep 60 >/dev/null & echo {\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\"}'`
	if err := os.WriteFile(config, []byte("[default]\nregion = eu-west-1\ncredential_process = "+script+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	noConfig(t)
	t.Setenv("AWS_CONFIG_FILE", config)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	h := New(program)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	c, err := h.Dial(ctx, dynamostore.Address{Table: "throttle", Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(ctx, dynamostore.Request{Op: dynamostore.OpGet, Key: "k"}); !dynamostore.IsAway(err) || errors.Is(err, ctx.Err()) {
		t.Errorf("nobody is there: %v", err)
	}
	if b, err := os.ReadFile(said); err != nil || len(b) > 0 {
		t.Errorf("it has read %q, %v", b, err)
	}
	begin := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 30*time.Second {
		t.Errorf("it took %v to end", d)
	}
}

func build(t *testing.T) (program string) {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command")
	}
	program = t.TempDir() + "/" + Name + ".exe"
	if out, err := exec.Command(path, "build", "-o", program, "../../../cmd/throttle-dynamodb").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// noConfig has the SDK find nothing but the credentials of a test.
func noConfig(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
}
