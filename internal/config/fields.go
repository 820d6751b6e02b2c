package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/internal/nearest"
)

// The fields that say the rate: the first table that has one of them decides about all of them.
const (
	fieldLimit = "limit"
	fieldRate  = "rate"
	fieldEvery = "every"
	fieldKey   = "key"
	fieldStore = "store"
)

// A field is what a limit, an account or the defaults may have.
type field struct {
	name    string
	kind    fieldKind
	least   int64 // of a count
	example string
	check   func(Checks) func(string) error // nil if there is no text to check
}

type fieldKind int

const (
	ofText fieldKind = iota
	ofRates
	ofDuration
	ofCount
	ofBoolean
	ofBlock // limit = 0
)

// fields returns all of them, in the order in which they are shown.
func fields() []field {
	return []field{
		{name: fieldRate, kind: ofRates, example: `rate = "20/s"`, check: func(c Checks) func(string) error { return c.Rate }},
		{name: fieldEvery, example: `every = "100ms"`, check: func(c Checks) func(string) error { return c.Every }},
		{name: fieldLimit, kind: ofBlock, example: `limit = 0`},
		{name: "algorithm", example: `algorithm = "sliding-window"`, check: func(c Checks) func(string) error { return c.Algorithm }},
		{name: "burst", kind: ofCount, least: 1, example: `burst = 5`},
		{name: "cost", kind: ofCount, least: 1, example: `cost = 2`},
		{name: "debt", kind: ofBoolean, example: `debt = true`},
		{name: "max_queue", kind: ofCount, example: `max_queue = 100`},
		{name: "max_wait", kind: ofDuration, example: `max_wait = "30s"`},
		{name: fieldKey, example: `key = "ec2:{account}"`},
		{name: fieldStore, example: `store = "file"`, check: func(c Checks) func(string) error { return c.Store }},
		{name: "preset", example: `preset = "aws"`, check: func(c Checks) func(string) error { return c.Preset }},
		{name: "adaptive", kind: ofBoolean, example: `adaptive = true`},
		{name: "attempts", kind: ofCount, least: 1, example: `attempts = 5`},
		{name: "max_cooldown", kind: ofDuration, example: `max_cooldown = "10m"`},
	}
}

// Fields returns the names of the fields, in the order in which they are shown.
func Fields() []string {
	all := fields()
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.name
	}
	return names
}

func fieldOf(name string) (field, bool) {
	for _, f := range fields() {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// lookupField is fieldOf with an error that says which there are.
func lookupField(name string) (field, error) {
	if f, ok := fieldOf(name); ok {
		return f, nil
	}
	return field{}, fmt.Errorf("there is no field %q%s", name, hint(name, Fields()))
}

// accepts says what a field takes.
func (f field) accepts() string {
	switch f.kind {
	case ofRates:
		return `it is a text such as rate = "20/s", or an array such as rate = ["15/m", { rate = "100/h", burst = 5 }]`
	case ofDuration:
		return "it is a text, a time with its unit, such as " + f.example
	case ofCount:
		return fmt.Sprintf("it is a whole number of %d or more, such as %s", f.least, f.example)
	case ofBoolean:
		return "it is true or false"
	case ofBlock:
		return `it is 0 only, which blocks: how many there may be says rate, as in rate = "20/s"`
	case ofText:
	}
	return "it is a text such as " + f.example
}

// checkText returns what is wrong with a text that is the value of a field.
func (f field) checkText(text string, checks Checks) error {
	switch {
	case f.kind == ofDuration:
		if d, err := time.ParseDuration(text); err != nil || d < 0 {
			return fmt.Errorf("%s = %s is no time: %s", f.name, quoteText(text), f.accepts())
		}
		return nil
	case f.name == fieldKey:
		return checkKey(text)
	case text == "":
		return fmt.Errorf("%s is empty: %s", f.name, f.accepts())
	case f.check == nil:
		return nil
	}
	if check := f.check(checks); check != nil {
		return check(text)
	}
	return nil
}

// checkNumber returns what is wrong with a number that is the value of a field.
func (f field) checkNumber(n int64) error {
	if n < f.least || f.kind == ofBlock && n != 0 {
		return fmt.Errorf("%s = %d can't be: %s", f.name, n, f.accepts())
	}
	return nil
}

// CheckFlag returns what is wrong with the value of a field where a flag says it. There a cost and rates may have replacement strings,
// which are left to those who know them.
func (c *Config) CheckFlag(name string, texts []string) error {
	f, err := lookupField(name)
	if err != nil || (name == "cost" || name == "rate") && IsTemplate(texts) {
		return err
	}
	return f.checkGiven(texts, c.checks)
}

// IsTemplate reports whether a text may have replacement strings.
func IsTemplate(texts []string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "{") })
}

// checkGiven returns what is wrong with a value that is given as it stands on a command line.
func (f field) checkGiven(texts []string, checks Checks) error {
	if len(texts) == 0 || len(texts) > 1 && f.kind != ofRates {
		return fmt.Errorf("%s has %d values: %s", f.name, len(texts), f.accepts())
	}
	for _, text := range texts {
		var err error
		switch f.kind {
		case ofCount, ofBlock:
			var n int64
			if n, err = strconv.ParseInt(text, 10, 64); err != nil {
				return fmt.Errorf("%s %q is no whole number: %s", f.name, text, f.accepts())
			}
			err = f.checkNumber(n)
		case ofBoolean:
			if text != "true" && text != "false" {
				return fmt.Errorf("%s %q can't be: %s", f.name, text, f.accepts())
			}
		case ofText, ofRates, ofDuration:
			err = f.checkText(text, checks)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// What a key may name.
const (
	accountPlace = "{account}"
	limitPlace   = "{limit}"
)

// checkKey returns what is wrong with a key. Replacement strings such as {1} are left to those who know them.
func checkKey(text string) error {
	if text == "" {
		return errors.New(`key is empty: without one it is the name, as in key = "{limit}:{account}"`)
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "{")
		name, more, closed := strings.Cut(after, "}")
		if !found || !closed {
			return nil
		}
		if isWord(name) && name != "account" && name != "limit" {
			return fmt.Errorf("key = %s has {%s}%s", quoteText(text), name, hint(name, []string{"account", "limit"}))
		}
		rest = more
	}
}

func isWord(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz_-") == ""
}

// hint says which name was probably meant, and which there are.
func hint(name string, names []string) string {
	text := "\nthere are " + strings.Join(names, ", ")
	if len(names) == 1 {
		text = "\nthere is " + names[0]
	}
	if near := meant(name, names); near != "" {
		text = fmt.Sprintf(": did you mean %q?%s", near, text)
	}
	return text
}

// meant returns the name that was probably meant, or "".
func meant(name string, names []string) string {
	switch strings.ReplaceAll(strings.ToLower(name), "-", "_") {
	case "delay", "interval":
		name = fieldEvery
	case "retries", "tries", "max_attempts":
		name = "attempts"
	}
	return nearest.Of(name, names)
}
