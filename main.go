// Command throttle makes shell work respect a rate.
package main

import (
	"os"

	"github.com/throttle-cli/throttle/cmd"
)

// version is set by the linker.
var version string

func main() { os.Exit(cmd.Main(version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
