package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/config"
)

// checks know some names, and that a rate has a slash.
func checks() config.Checks {
	one := func(what string, names ...string) func(string) error {
		return func(text string) error {
			if !slices.Contains(names, text) {
				return fmt.Errorf("there is no %s %q: there are %s", what, text, strings.Join(names, ", "))
			}
			return nil
		}
	}
	return config.Checks{
		Rate: func(text string) error {
			if !strings.Contains(text, "/") || strings.Contains(text, "burst=1000") {
				return fmt.Errorf("rate %q is bad: a rate is N/UNIT such as 10/s", text)
			}
			return nil
		},
		Every: func(text string) error {
			if !strings.HasSuffix(text, "s") {
				return fmt.Errorf("interval %q is bad: an interval is such as 100ms", text)
			}
			return nil
		},
		Algorithm:   one("algorithm", "paced", "sliding-window"),
		Preset:      one("preset", "aws", "gh"),
		Store:       one("store", "file"),
		RateOptions: []string{"zone"},
	}
}

// write puts files into a directory of their own, and goes there.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	write(t, map[string]string{config.FileName: text})
	c, err := config.Load(config.Options{Getenv: env(nil), Checks: checks()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wrongWith returns what is wrong with a file.
func wrongWith(t *testing.T, path string) config.Errors {
	t.Helper()
	var wrong config.Errors
	if _, err := config.Load(config.Options{File: path, Checks: checks()}); err != nil && !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	return wrong
}

func lookup(t *testing.T, c *config.Config, limit, account string, given map[string]config.Given) *config.Effective {
	t.Helper()
	e, err := c.Lookup(limit, account, given)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const (
	fieldNames   = "rate, every, limit, algorithm, burst, cost, debt, max_queue, max_wait, key, store, preset, adaptive, attempts, max_cooldown"
	rateIs       = `it is a text such as rate = "20/s", or an array such as rate = ["15/m", { rate = "100/h", burst = 5 }]`
	oneOfSeveral = `one of several rates is a text or a table: an array such as rate = ["15/m", { rate = "100/h", burst = 5 }]`
)

func TestFiles(t *testing.T) {
	o := config.Options{Getenv: env(nil), Checks: checks()}
	write(t, map[string]string{"xdg/throttle/throttle.toml": "[limits.far]\nrate = '1/s'\n", "home/.config/throttle/throttle.toml": "[limits.home]\nrate = '1/s'\n"})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	far := filepath.Join(here, "xdg", "throttle", "throttle.toml")
	xdg, home := filepath.Join(here, "xdg"), filepath.Join(here, "home")
	loaded := func(o config.Options) []string {
		c, err := config.Load(o)
		if err != nil {
			t.Fatal(err)
		}
		return c.Files()
	}

	if got := loaded(o); len(got) != 0 {
		t.Errorf("without variables there are %q", got)
	}
	o.Getenv = env(map[string]string{"HOME": home, "XDG_CONFIG_HOME": "relative"})
	if got := loaded(o); !slices.Equal(got, []string{filepath.Join(home, ".config", "throttle", "throttle.toml")}) {
		t.Errorf("at home there are %q", got)
	}
	o.Getenv = env(map[string]string{"HOME": home, "XDG_CONFIG_HOME": xdg})
	if got := loaded(o); !slices.Equal(got, []string{far}) {
		t.Errorf("with $XDG_CONFIG_HOME there are %q", got)
	}
	if err := os.WriteFile("throttle.toml", []byte("[limits.near]\nrate = '1/s'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := loaded(o); !slices.Equal(got, []string{"throttle.toml", far}) {
		t.Errorf("there are %q", got)
	}
	o.File = filepath.Join("xdg", "throttle", "throttle.toml")
	if got := loaded(o); !slices.Equal(got, []string{o.File}) {
		t.Errorf("with a name there are %q", got)
	}
	o.File = "nowhere.toml"
	if _, err := config.Load(o); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nowhere.toml") {
		t.Errorf("one that is not there: %v", err)
	}
	o.File = "xdg"
	if _, err := config.Load(o); err == nil || err.Error() != "read xdg: is not a regular file" {
		t.Errorf("a directory: %v", err)
	}
	// Below one's own directory the two are one.
	o.File = ""
	t.Chdir(filepath.Join(xdg, "throttle"))
	if got := loaded(o); !slices.Equal(got, []string{"throttle.toml"}) {
		t.Errorf("there are %q", got)
	}
}

func TestWritableByAll(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it has no such mode")
	}
	write(t, map[string]string{"throttle.toml": ""})
	for mode, want := range map[fs.FileMode][]string{
		0o644: nil, 0o664: nil,
		0o666: {"throttle.toml: everybody may write to it, and so change your limits: chmod o-w throttle.toml"},
	} {
		if err := os.Chmod("throttle.toml", mode); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{Getenv: env(nil)})
		if err != nil || !slices.Equal(c.Warnings(), want) {
			t.Errorf("%v: %q, %v", mode, c.Warnings(), err)
		}
	}
}

// Who has no file pays for two files that can't be found.
func BenchmarkLoadWithoutFile(b *testing.B) {
	b.Chdir(b.TempDir())
	o := config.Options{Getenv: env(map[string]string{"HOME": b.TempDir()}), Checks: checks()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := config.Load(o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	b.Chdir(b.TempDir())
	if err := os.WriteFile(config.FileName, []byte(shown), 0o644); err != nil {
		b.Fatal(err)
	}
	o := config.Options{Getenv: env(nil), Checks: checks()}
	b.ReportAllocs()
	for b.Loop() {
		c, err := config.Load(o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Lookup("ec2", "1234", nil); err != nil {
			b.Fatal(err)
		}
	}
}
