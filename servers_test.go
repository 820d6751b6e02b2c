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

// A testServer is a real one, of one script.
type testServer struct {
	port string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// testServers are those of scripts, by their folders and names.
var testServers sync.Map

// redis starts a server for the script, whose URL is in $REDIS then, or does something to it: redis start|kill|stop|cont [OPTION]...
func redis(ts *testscript.TestScript, neg bool, args []string) {
	control(ts, neg, "REDIS", args, func(port string) (url string, command []string) {
		dir := filepath.Join(ts.Getenv("WORK"), "redis-"+port)
		ts.Check(os.MkdirAll(dir, 0o755))
		return "redis://127.0.0.1:" + port + "/0", []string{
			"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--logfile", "log",
		}
	})
}

// dynamo does so for a server that is like DynamoDB, with $DYNAMODB.
func dynamo(ts *testscript.TestScript, neg bool, args []string) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		ts.Setenv(name, value)
	}
	control(ts, neg, "DYNAMODB", args, func(port string) (url string, command []string) {
		return "dynamodb://throttle?region=eu-west-1&endpoint=http://127.0.0.1:" + port, []string{
			dynalite(), "--host", "127.0.0.1", "--port", port, "--createTableMs", "1",
		}
	})
}

// dynalite returns the path of the program, "" if there is none.
func dynalite() string {
	if path := os.Getenv("THROTTLE_TEST_DYNALITE"); path != "" {
		return path
	}
	if path, err := filepath.Abs(filepath.Join("node_modules", ".bin", "dynalite")); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, _ := exec.LookPath("dynalite")
	return path
}

func control(ts *testscript.TestScript, neg bool, name string, args []string, with func(port string) (url string, command []string)) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: start|kill|stop|cont")
	}
	key := name + " " + ts.Getenv("WORK")
	known, _ := testServers.Load(key)
	s, _ := known.(*testServer)
	switch args[0] {
	case "start":
		if s == nil {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			ts.Check(err)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			ts.Check(l.Close())
			s = &testServer{port: port}
			testServers.Store(key, s)
			ts.Defer(func() {
				s.kill()
				testServers.Delete(key)
			})
		}
		url, command := with(s.port)
		ts.Setenv(name, url)
		s.start(ts, append(command, args[1:]...))
	case "kill":
		s.kill()
	case "stop":
		ts.Check(s.cmd.Process.Signal(syscall.SIGSTOP))
	case "cont":
		ts.Check(s.cmd.Process.Signal(syscall.SIGCONT))
	default:
		ts.Fatalf("%s?", args[0])
	}
}

// start starts it, and waits until it answers.
func (s *testServer) start(ts *testscript.TestScript, command []string) {
	s.cmd = exec.Command(command[0], command[1:]...)
	ts.Check(s.cmd.Start())
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	for {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
			_, _ = c.Write([]byte("PING\r\n\r\n")) // one that speaks HTTP answers that it does not know that
			answer := make([]byte, 8)
			n, _ := c.Read(answer)
			_ = c.Close()
			if n > 0 && !strings.HasPrefix(string(answer[:n]), "-LOADING") {
				return
			}
		}
		select {
		case <-done:
			ts.Fatalf("%s ended: %v", command[0], cmd.ProcessState)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *testServer) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// servers says whether the servers that scripts need have to be there, for CI.
func servers() bool {
	must, _ := strconv.ParseBool(os.Getenv("THROTTLE_TEST_SERVERS"))
	return must
}
