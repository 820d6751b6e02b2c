//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A redisServer is a real one, of one script.
type redisServer struct {
	port string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// redisServers are those of scripts, by their folders.
var redisServers sync.Map

// redis starts a server for the script, whose URL is in $REDIS then, or does something to it: redis start|kill|stop|cont [OPTION]...
func redis(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: redis start|kill|stop|cont")
	}
	work := ts.Getenv("WORK")
	known, _ := redisServers.Load(work)
	s, _ := known.(*redisServer)
	switch args[0] {
	case "start":
		if s == nil {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			ts.Check(err)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			ts.Check(l.Close())
			s = &redisServer{port: port}
			redisServers.Store(work, s)
			ts.Setenv("REDIS", "redis://127.0.0.1:"+port+"/0")
			ts.Defer(func() {
				s.kill()
				redisServers.Delete(work)
			})
		}
		s.start(ts, args[1:])
	case "kill":
		s.kill()
	case "stop":
		ts.Check(s.cmd.Process.Signal(syscall.SIGSTOP))
	case "cont":
		ts.Check(s.cmd.Process.Signal(syscall.SIGCONT))
	default:
		ts.Fatalf("redis %s?", args[0])
	}
}

func (s *redisServer) start(ts *testscript.TestScript, options []string) {
	dir := filepath.Join(ts.Getenv("WORK"), "redis-"+s.port)
	ts.Check(os.MkdirAll(dir, 0o755))
	s.cmd = exec.Command("redis-server", append([]string{"--port", s.port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--logfile", "log"}, options...)...)
	ts.Check(s.cmd.Start())
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	for {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
			_, _ = c.Write([]byte("PING\r\n"))
			answer := make([]byte, 5)
			n, _ := c.Read(answer)
			_ = c.Close()
			if strings.HasPrefix(string(answer[:n]), "+PONG") || strings.HasPrefix(string(answer[:n]), "-NOAU") {
				return
			}
		}
		select {
		case <-done:
			ts.Fatalf("redis-server ended: %v", cmd.ProcessState)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// servers says whether the servers that scripts need have to be there, for CI.
func servers() bool {
	must, _ := strconv.ParseBool(os.Getenv("THROTTLE_TEST_SERVERS"))
	return must
}
