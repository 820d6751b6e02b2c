package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A server is a real redis-server on a port that was free.
type server struct {
	t    testing.TB
	dir  string
	port int
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// needServer skips a test if there is no server to be started; where THROTTLE_TEST_SERVERS is 1 it fails.
func needServer(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		const how = "redis-server is not installed: apt-get install redis-server, or brew install redis"
		if os.Getenv("THROTTLE_TEST_SERVERS") == "1" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
}

// serverDir returns a folder that goes with the test: when a server is killed, a child of it may still write there.
func serverDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis-") //nolint:usetesting // that of the test must be empty by then
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 500 {
			if os.RemoveAll(dir) == nil {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
	})
	return dir
}

// newServer starts a server that ends with the test.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	needServer(t)
	s := &server{t: t, dir: serverDir(t), args: args}
	for try := range 5 { // somebody else may take the port before the server does
		s.port = freePort(t)
		if s.start() {
			break
		}
		if try == 4 {
			t.Fatal("redis-server does not start")
		}
	}
	t.Cleanup(s.kill)
	return s
}

// freePort returns a port that is free, as is the one that is 10,000 above it: nodes of a cluster take that, too.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20_000 + rand.IntN(10_000)
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		bus, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port+10_000))
		if err != nil {
			continue
		}
		_ = bus.Close()
		return port
	}
	t.Fatal("there is no free port")
	return 0
}

// start starts it, and reports whether it answers.
func (s *server) start() bool {
	s.t.Helper()
	args := append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no",
		"--logfile", s.dir + "/log",
	}, s.args...)
	cmd := exec.Command("redis-server", args...) //nolint:gosec // those of the tests
	s.cmd = cmd
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	admin := s.admin()
	ended := make(chan struct{})
	s.done = ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	for {
		if err := admin.Ping(context.Background()).Err(); err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) url() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// admin returns a client of its own, which is closed with the test.
func (s *server) admin() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.port), MaxRetries: -1, DialerRetries: 1})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *server) do(t testing.TB, args ...any) any {
	t.Helper()
	reply, err := s.admin().Do(context.Background(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}

func (s *server) open(t testing.TB, key string, o Options) *Store {
	t.Helper()
	return openURL(t, s.url(), key, o)
}

func openURL(t testing.TB, address, key string, o Options) *Store {
	t.Helper()
	st, err := Open(context.Background(), address, key, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// clock returns a time as the script takes it.
func clock(now int64) string { return fmt.Sprintf("%s:%d:%d", pair(now), now/1e9, now%1e9) }
