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
	fromTable    = "from-table" // of the limits that a store has
	fromJob      = "from-job"   // the key that the job goes by in which throttle runs
)

// synonyms are flags that say the same thing in different ways: one that is given wins over the variable of another.
func synonyms() [][]string {
	return [][]string{
		{"rate", "every", "delay"},
		{"jobs", "max-procs"},
		{"null", "delimiter"},
		{"group", "line-buffer", "ungroup"},
		{"key", "key-regexp", "state"},
		{"store", "state"},
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
	// In a job THROTTLE_KEY says what the job goes by. A rate, or a limit, that is named there is another one.
	_, job := lookup("THROTTLE_SEQ")
	if job && slices.ContainsFunc([]string{"rate", "every", "delay", "limit"}, given) {
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
		texts := []string{value}
		if f.Name == "rate" {
			texts = splitRates(value)
		}
		if setErr := setAll(flags, f, texts); setErr != nil {
			var invalid *pflag.InvalidValueError
			if errors.As(setErr, &invalid) {
				setErr = fmt.Errorf("%q: %w", value, valueError(invalid))
			}
			err = fmt.Errorf("environment variable %s: %w", name, setErr)
		}
		_ = flags.SetAnnotation(f.Name, fromEnv, []string{name})
		if job && f.Name == "key" {
			_ = flags.SetAnnotation(f.Name, fromJob, []string{name})
		}
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

// environ returns the environment of commands that go by a key, or by none, without what is different for each. Store is where the key
// is, for those who ask for grants of it.
func environ(key string, store []string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "THROTTLE_KEY", "THROTTLE_SEQ", "THROTTLE_SLOT", "THROTTLE_ATTEMPT":
			return true
		}
		return false
	})
	if key != "" {
		env = append(env, "THROTTLE_KEY="+key)
	}
	if key != "" {
		env = with(env, store)
	}
	return env
}
