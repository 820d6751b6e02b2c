package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
)

const (
	exampleFile = "../../docs/throttle.example.toml"
	docsFile    = "../../docs/config.md"
)

// The example has no error, and every field.
func TestExample(t *testing.T) {
	c, err := config.Load(config.Options{File: exampleFile, Checks: byname.Checks()})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range byname.Problems(c) {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := c.WriteListJSON(&b); err != nil {
		t.Fatal(err)
	}
	type fields map[string]any
	var list []struct {
		Fields   fields
		Accounts []struct{ Fields fields }
	}
	if err := json.Unmarshal(b.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	note := func(f fields) {
		for name := range f {
			seen[name] = true
		}
	}
	for _, l := range list {
		note(l.Fields)
		for _, a := range l.Accounts {
			note(a.Fields)
		}
	}
	for _, v := range lookup(t, c, "", "", nil).Values {
		seen[v.Field] = true
	}
	for _, name := range config.Fields() {
		if !seen[name] {
			t.Errorf("%s has no %s", exampleFile, name)
		}
	}
}

// docs/config.md has the fields, and what it shows is so.
func TestDocs(t *testing.T) {
	text := read(t, docsFile)
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line) > 111 {
			t.Errorf("a line of more than 110 characters: %s", line)
		}
	}
	_, table, _ := strings.Cut(text, "| field | is | such as |\n")
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|.*\\|$").FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	if !slices.Equal(names, config.Fields()) {
		t.Errorf("its fields are %q", names)
	}

	_, rest, _ := strings.Cut(text, "## In short\n\n")
	sample, _, _ := strings.Cut(rest, "\n    throttle exec")
	_, rest, _ = strings.Cut(text, "--account 1234 --burst 7\n")
	shown, _, _ := strings.Cut(rest, "\n\n")
	t.Chdir(t.TempDir())
	if err := os.WriteFile(config.FileName, []byte(indented(sample)), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Options{Getenv: env(nil), Checks: byname.Checks()})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := lookup(t, c, "ec2", "1234", map[string]config.Given{"burst": {Texts: []string{"7"}}}).Write(&b); err != nil {
		t.Fatal(err)
	}
	if b.String() != indented(shown)+"\n" {
		t.Errorf("it shows\n%s\nand it is\n%s", indented(shown), &b)
	}
}

// indented returns the text of a block of code.
func indented(block string) string {
	return regexp.MustCompile("(?m)^    ").ReplaceAllString(block, "")
}
