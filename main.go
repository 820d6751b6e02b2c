// Command throttle makes shell work respect a rate.
package main

import (
	"os"
	_ "time/tzdata" // so that each process knows the time zones of a limit that is shared, whatever is installed where it runs

	"github.com/throttle-cli/throttle/cmd"
)

// version is set by the linker.
var version string

func main() { os.Exit(cmd.Main(version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
