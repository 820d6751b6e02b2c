package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// fromEnvironment sets each flag that was not given from THROTTLE_<FLAG>. Flags that say the same thing in two ways stand
// together: the one that was given wins over the other's variable.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) (err error) {
	rateGiven := flags.Changed("rate") || flags.Changed("every") || flags.Changed("delay")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || err != nil || f.Name == "help" || f.Name == "version" {
			return
		}
		if rateGiven && (f.Name == "rate" || f.Name == "every" || f.Name == "delay") {
			return
		}
		name := "THROTTLE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := lookup(name)
		if !ok || value == "" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil {
			err = fmt.Errorf("environment variable %s: %w", name, setErr)
		}
	})
	return err
}
