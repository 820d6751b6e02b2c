// throttle-dynamodb speaks to DynamoDB for throttle, which starts it when a store is dynamodb://. It is no program for people.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
	"github.com/throttle-cli/throttle/internal/dynamostore/helper"
)

func main() {
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 || len(os.Args) > 1 {
		_, _ = fmt.Fprintln(os.Stderr, "throttle-dynamodb: throttle starts this when a store is dynamodb://; it is no command of its own")
		os.Exit(2)
	}
	// It ends with throttle, which has something to say still when it is interrupted: that a place is given back.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	// What the SDK starts to find out who we are gets os.Stdin, and would read our questions there.
	in := os.Stdin
	if null, err := os.Open(os.DevNull); err == nil {
		os.Stdin = null
	}
	if err := helper.Serve(context.Background(), in, os.Stdout, dynamosdk.Dial); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "throttle-dynamodb:", err)
		os.Exit(1)
	}
}
