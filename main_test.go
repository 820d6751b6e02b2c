//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/throttle-cli/throttle/bench/limited"
	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
	"github.com/throttle-cli/throttle/internal/dynamostore/helper"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"throttle": main, "limited": serve, "throttle-dynamodb": serveDynamoDB})
}

// serveDynamoDB is what the program throttle-dynamodb does.
func serveDynamoDB() {
	if err := helper.Serve(context.Background(), os.Stdin, os.Stdout, dynamosdk.Dial); err != nil {
		panic(err)
	}
}

// serve lets RATE requests a second through until it is killed, and writes its address to FILE: limited RATE FILE [ec2].
func serve() {
	rate, err := strconv.ParseFloat(os.Args[1], 64)
	if err == nil {
		s := &limited.Server{Rate: rate, Burst: 5, RetryAfter: 1, EC2: len(os.Args) > 3}
		var url string
		if url, _, err = s.Listen(); err == nil {
			if err = os.WriteFile(os.Args[2]+".new", []byte(url), 0o666); err == nil {
				err = os.Rename(os.Args[2]+".new", os.Args[2])
			}
		}
	}
	if err != nil {
		panic(err)
	}
	select {}
}

func TestScripts(t *testing.T) {
	if servers() {
		if _, err := exec.LookPath("redis-server"); err != nil {
			t.Fatal(err)
		}
		if dynalite() == "" {
			t.Fatal("there is no dynalite: make servers")
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scripts",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Condition: func(name string) (bool, error) {
			if name == "dynalite" {
				return dynalite() != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // with -race each process would sleep for a second at its end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "jsonlines": jsonLines, "redis": redis, "dynamo": dynamo, "gaps": gaps,
		},
	})
}

// exits runs a command and wants an exit code: exits CODE COMMAND...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// jsonLines wants each line of a file to be a JSON object, the last one ended: jsonlines FILE|stdout|stderr.
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jsonlines FILE")
	}
	text := ts.ReadFile(args[0])
	if !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%s does not end with a newline: %q", args[0], text)
	}
	for line := range strings.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			ts.Fatalf("%s: %q: %v", args[0], line, err)
		}
	}
}

// gaps prints the times between the slots of grants that are printed as JSON, in ns, as long as they are of one key: gaps FILE.
func gaps(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gaps FILE")
	}
	var key string
	var last int64
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var grant struct {
			Key         string
			Boot, Since json.Number
		}
		line = strings.NewReplacer("slot_since_boot_s", "boot", "slot_since_1970_s", "since").Replace(line)
		ts.Check(json.Unmarshal([]byte(line), &grant))
		at, err := strconv.ParseInt(strings.ReplaceAll(string(grant.Boot+grant.Since), ".", ""), 10, 64)
		ts.Check(err)
		if grant.Key == key {
			_, err := fmt.Fprintln(ts.Stdout(), key, at-last)
			ts.Check(err)
		}
		key, last = grant.Key, at
	}
}
