package cmd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Annotations of a flag.
const (
	needsCommand = "needs-command" // it means nothing where lines are passed on
	fromEnv      = "from-environment"
	fromFile     = "from-file"
)

// synonyms are flags that say the same thing in different ways: one that is given wins over the variable of another.
func synonyms() [][]string {
	return [][]string{
		{"rate", "every", "delay"},
		{"jobs", "max-procs"},
		{"null", "delimiter"},
		{"group", "line-buffer", "ungroup"},
		{"key", "key-regexp", "state"},
		{"max-wait", "no-wait"},
		{"json", "headers"},
	}
}

// fromEnvironment sets each flag that was not given from THROTTLE_<FLAG>.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) (err error) {
	if flags.Changed("version") || flags.Changed("help") || flags.Changed(helpAll) {
		return nil
	}
	given := func(name string) bool { return flags.Changed(name) }
	decided := make(map[string]bool)
	for _, set := range synonyms() {
		if slices.ContainsFunc(set, given) {
			for _, name := range set {
				decided[name] = true
			}
		}
	}
	// In a job THROTTLE_KEY says what the job goes by. A rate that is named there is another one.
	if _, job := lookup("THROTTLE_SEQ"); job && (given("rate") || given("every") || given("delay")) {
		decided["key"] = true
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || decided[f.Name] || err != nil || f.Name == "help" || f.Name == helpAll || f.Name == "version" {
			return
		}
		name := "THROTTLE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := lookup(name)
		if !ok || value == "" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil {
			var invalid *pflag.InvalidValueError
			if errors.As(setErr, &invalid) {
				setErr = fmt.Errorf("%q: %w", value, valueError(invalid))
			}
			err = fmt.Errorf("environment variable %s: %w", name, setErr)
		}
		_ = flags.SetAnnotation(f.Name, fromEnv, []string{name})
	})
	return err
}

// givenHere reports whether a flag was given on the command line, and holds.
func givenHere(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	return f != nil && f.Changed && f.Annotations[fromEnv] == nil && f.Annotations[fromFile] == nil
}

// with returns an environment with more of it, as NAME=value, in the place of what there is under the name.
func with(env, more []string) []string {
	for _, m := range more {
		name, _, _ := strings.Cut(m, "=")
		env = slices.DeleteFunc(env, func(v string) bool { n, _, _ := strings.Cut(v, "="); return n == name })
		env = append(env, m)
	}
	return env
}

// environ returns the environment of commands that go by a key, or by none, without what is different for each.
func environ(key string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "THROTTLE_SEQ", "THROTTLE_SLOT", "THROTTLE_ATTEMPT":
			return true
		}
		return name == "THROTTLE_KEY"
	})
	if key != "" {
		env = append(env, "THROTTLE_KEY="+key)
	}
	return env
}
