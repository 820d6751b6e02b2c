package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	c, err := config.Load(config.Options{Getenv: env(nil), Checks: checks(), BuiltIn: map[string]string{"algorithm": "paced", "burst": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
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

// Each thing that is wrong is named with its place, and with what would be right.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"all is well", "[defaults]\nburst = 2\n[limits.a]\nrate = '1/s'\n", nil},

		{"syntax", "[limits.a]\nrate = \"1/s\"\nburst = = 5\n", []string{"3:9: unexpected character U+003D '=' at start of value"}},
		{"a text without an end", "[limits.a]\nrate = \"1/s\n", []string{"2:12: basic strings cannot have new lines"}},
		{"no value", "[limits.a]\nrate", []string{"2:4: expected '=' after key"}},
		{"not UTF-8", "[limits.a]\nkey = \"\xff\"\n", []string{"2:8: invalid UTF-8 character in basic string"}},
		{"what is before it is told too", "[limits.a]\nbrust = 5\nburst = = 5\nbrust = 5\n", []string{
			`2:1: unknown key "brust" in limit a: did you mean "burst"?` + "\nthere are " + fieldNames + ", accounts",
			"3:9: unexpected character U+003D '=' at start of value",
		}},

		{"unknown table", "[limit.a]\nrate = '1/s'\n", []string{`1:2: unknown key "limit": did you mean "limits"?` + "\nthere are defaults, limits"}},
		{"unknown key on top", "rate = '1/s'\n", []string{`1:1: unknown key "rate"` + "\nthere are defaults, limits"}},
		{"unknown key", "[defaults]\n\n  max-wait = '1s'\n", []string{`3:3: unknown key "max-wait" in the defaults: did you mean "max_wait"?` + "\nthere are " + fieldNames}},
		{"unknown key of another tool", "[defaults]\nretries = 3\ndelay = '1s'\n", []string{
			`2:1: unknown key "retries" in the defaults: did you mean "attempts"?` + "\nthere are " + fieldNames,
			`3:1: unknown key "delay" in the defaults: did you mean "every"?` + "\nthere are " + fieldNames,
		}},
		{"nothing is near", "[defaults]\ncolour = 3\n", []string{`2:1: unknown key "colour" in the defaults` + "\nthere are " + fieldNames}},
		{"unknown key of an account", "[limits.\"a b\".accounts.\"1\"]\nrat = '1/s'\n", []string{
			`2:1: unknown key "rat" in account 1 of limit "a b": did you mean "rate"?` + "\nthere are " + fieldNames,
		}},
		{"accounts of accounts", "[limits.a.accounts.b.accounts.c]\nrate = '1/s'\n", []string{
			`1:22: unknown key "accounts" in account b of limit a` + "\nthere are " + fieldNames,
		}},
		{"unknown key in an inline table", "limits.a = { rate = '1/s', brust = 3 }\n", []string{
			`1:28: unknown key "brust" in limit a: did you mean "burst"?` + "\nthere are " + fieldNames + ", accounts",
		}},
		{"unknown key of a rate", "[limits.a]\nrate = [\"1/s\", { rate = '1/s', algo = 'paced' }]\n", []string{
			`2:32: unknown key "algo" in a rate: did you mean "algorithm"?` + "\nthere are rate, algorithm, burst, zone",
		}},

		{"not a table", "limits = 5\n", []string{"1:10: limits = 5 is a whole number: it is a table, [limits.NAME]"}},
		{"limits without names", "[limits]\nrate = '1/s'\n", []string{"2:8: rate = '1/s' is a text: it is a table, [limits.rate]"}},
		{"list of tables", "[[limits.a]]\nrate = '1/s'\n", []string{"1:10: [[limits.a]] is a list: it is a table, [limits.a]"}},
		{"accounts without names", "[limits.a.accounts]\nrate = '1/s'\n", []string{"2:8: rate = '1/s' is a text: it is a table, [limits.a.accounts.rate]"}},
		{"accounts is no table", "[limits.a]\naccounts = ['1']\n", []string{"2:12: accounts = ['1'] is an array: it is a table, [limits.a.accounts.NAME]"}},
		{"no name", "[limits.\"\"]\nrate = '1/s'\n[limits.a.accounts.'']\n", []string{`1:9: "" is no name for a limit`, `3:20: "" is no name for an account`}},

		{"twice", "[limits.a]\nburst = 1\ncost = 1\nburst = 2\n", []string{"4:1: burst is given twice: first in line 2"}},
		{"a table twice", "[limits.a]\nburst = 1\n[limits.a]\nbrust = 1\n", []string{"3:9: a is given twice: first in line 1"}},
		{"twice in braces", "limits.a = {burst=1,burst=2}\n", []string{"1:21: burst is given twice: first in line 1"}},
		{"by dots and by a header", "limits.a.burst = 1\n[limits.a]\ncost = 1\n", []string{"2:9: a is given twice: first in line 1"}},
		{"a value that is a table too", "[limits]\na = 1\n[limits.a.accounts.b]\n", []string{
			"2:5: a = 1 is a whole number: it is a table, [limits.a]",
			"3:9: a is no table to which this could be added: it has its value in line 2",
		}},

		{"a number that is a text", "[defaults]\nburst = \"5\"\n", []string{`2:9: burst = "5" is a text: it is a whole number of 1 or more, such as burst = 5`}},
		{"a number with a fraction", "[defaults]\ncost = 1.5\n", []string{"2:8: cost = 1.5 is a number with a fraction, a date or a time: it is a whole number of 1 or more, such as cost = 2"}},
		{"too small", "[defaults]\nburst = 0\ncost = -1\nattempts = 0\nmax_queue = -1\n", []string{
			"2:9: burst = 0 can't be: it is a whole number of 1 or more, such as burst = 5",
			"3:8: cost = -1 can't be: it is a whole number of 1 or more, such as cost = 2",
			"4:12: attempts = 0 can't be: it is a whole number of 1 or more, such as attempts = 5",
			"5:13: max_queue = -1 can't be: it is a whole number of 0 or more, such as max_queue = 100",
		}},
		{"out of range", "[defaults]\nburst = 9_223_372_036_854_775_808\n", []string{"2:9: 9_223_372_036_854_775_808 is out of range"}},
		{"true or false", "[defaults]\ndebt = 'yes'\nadaptive = 1\n", []string{
			"2:8: debt = 'yes' is a text: it is true or false",
			"3:12: adaptive = 1 is a whole number: it is true or false",
		}},
		{"a limit that isn't 0", "[limits.a]\nlimit = 5\n", []string{`2:9: limit = 5 can't be: it is 0 only, which blocks: how many there may be says rate, as in rate = "20/s"`}},
		{"a duration that is a number", "[defaults]\nmax_wait = 30\n", []string{`2:12: max_wait = 30 is a whole number: it is a text, a time with its unit, such as max_wait = "30s"`}},
		{"a duration without a unit", "[defaults]\nmax_wait = '30'\n", []string{`2:12: max_wait = "30" is no time: it is a text, a time with its unit, such as max_wait = "30s"`}},
		{"a duration below 0", "[defaults]\nmax_cooldown = '-1s'\n", []string{`2:16: max_cooldown = "-1s" is no time: it is a text, a time with its unit, such as max_cooldown = "10m"`}},
		{"a rate that is a number", "[limits.a]\nrate = 20\n", []string{"2:8: rate = 20 is a whole number: " + rateIs}},
		{"a rate without a unit", "[limits.a]\nrate = \"20\"\n", []string{`2:8: rate "20" is bad: a rate is N/UNIT such as 10/s`}},
		{"a rate that is empty", "[limits.a]\nrate = \"\"\n[limits.b]\nrate = []\n", []string{"2:8: rate is empty: " + rateIs, "4:8: rate = [] is empty: " + rateIs}},
		{"several rates", "[limits.a]\nrate = [\n  \"15/m\", # fine\n  \"100\",\n  7,\n  { rate = \"9\" },\n  { burst = 5 },\n  { rate = 5, burst = 0, algorithm = \"none\" },\n  [\"1/s\"],\n]\n", []string{
			"2:8: [... is an array: " + oneOfSeveral,
			`4:3: rate "100" is bad: a rate is N/UNIT such as 10/s`,
			"5:3: 7 is a whole number: " + oneOfSeveral,
			`6:12: rate "9" is bad: a rate is N/UNIT such as 10/s`,
			`7:3: a table of a rate has no rate: it is { rate = "100/h" }, with algorithm and burst if you like`,
			`8:12: rate = 5 is a whole number: it is a text such as rate = "20/s"`,
			"8:23: burst = 0 can't be: it is a whole number of 1 or more, such as burst = 5",
			`8:38: there is no algorithm "none": there are paced, sliding-window`,
		}},
		{"a rate with what is not its own", "[limits.a]\nrate = { rate = '1/s', cost = 5, zone = 1 }\n", []string{
			"2:24: cost is not said of one rate, but of the limit: put it next to the array",
			"2:41: zone = 1 is a whole number: it is a text",
		}},
		{"a rate that is wrong with its options", "[[limits.a.rate]]\nrate = '1/s'\nburst = 1000\n", []string{`1:12: rate "1/s,burst=1000" is bad: a rate is N/UNIT such as 10/s`}},
		{"an interval", "[limits.a]\nevery = \"5\"\n", []string{`2:9: interval "5" is bad: an interval is such as 100ms`}},
		{"rate and every", "[limits.a]\nevery = \"5s\"\nburst = 1\nrate = '1/s'\n", []string{"4:1: every and rate both say the rate of limit a: give one of them (every is in line 2)"}},
		{"an algorithm", "[limits.a]\nalgorithm = \"fastest\"\n", []string{`2:13: there is no algorithm "fastest": there are paced, sliding-window`}},
		{"a preset", "[limits.a]\npreset = \"awss\"\n", []string{`2:10: there is no preset "awss": there are aws, gh`}},
		{"a store", "[limits.a]\nstore = \"tape\"\n", []string{`2:9: there is no store "tape": there are file`}},
		{"a table for a value", "[limits.a.burst]\nx = 1\n", []string{"1:11: burst is a table: it is a whole number of 1 or more, such as burst = 5"}},
		{"a key", "[limits.a]\nkey = \"a-{acount}\"\n", []string{`2:7: key = "a-{acount}" has {acount}: did you mean "account"?` + "\nthere are account, limit"}},
		{"no key", "[limits.a]\nkey = \"\"\n", []string{`2:7: key is empty: without one it is the name, as in key = "{limit}:{account}"`}},
		{"a key of all", "[defaults]\nkey = \"x\"\n", []string{`2:7: key = "x" would be that of all limits: put {limit} into it, as in key = "{limit}:{account}"`}},

		{"CR LF, and a mark in front", "\ufeff[limits.a]\r\nrate = \"1/s\"\r\nbrust = 5\r\n", []string{
			`3:1: unknown key "brust" in limit a: did you mean "burst"?` + "\nthere are " + fieldNames + ", accounts",
		}},
		{"columns are characters", "limits.\"é\" = { \"ü\" = \"ö\", burst = 'x' }\n", []string{
			`1:16: unknown key "ü" in limit "é"` + "\nthere are " + fieldNames + ", accounts",
			`1:35: burst = 'x' is a text: it is a whole number of 1 or more, such as burst = 5`,
		}},
		{"a value over many lines", "[limits.a]\nkey = 5\nburst = \"\"\"\nlong\nlonger\"\"\"\n", []string{
			`2:7: key = 5 is a whole number: it is a text such as key = "ec2:{account}"`,
			`3:9: burst = """... is a text: it is a whole number of 1 or more, such as burst = 5`,
		}},
		{"a long value", "[limits.a]\nburst = \"" + strings.Repeat("x", 100) + "\"\n", []string{
			`2:9: burst = "` + strings.Repeat("x", 59) + `... is a text: it is a whole number of 1 or more, such as burst = 5`,
		}},
	} {
		write(t, map[string]string{"f.toml": c.text})
		var got []string
		for _, err := range config.Check("f.toml", checks()) {
			var e *config.Error
			if !errors.As(err, &e) || e.File != "f.toml" {
				t.Errorf("%s: %#v", c.name, err)
			}
			got = append(got, strings.TrimPrefix(err.Error(), "f.toml:"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nhas\n  %s\nand not\n  %s", c.name, c.text, strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
		}
		_, err := config.Load(config.Options{File: "f.toml", Checks: checks()})
		if all := new(config.Errors); errors.As(err, all) != (c.want != nil) || len(*all) != len(c.want) {
			t.Errorf("%s: Load says %v", c.name, err)
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	write(t, map[string]string{"f.toml": "[defaults]\n" + strings.Repeat("brust = 1\n", 100)})
	got := config.Check("f.toml", checks())
	if len(got) != 21 || got[20].Error() != "f.toml: and 80 more errors" {
		t.Errorf("%d errors, at last %v", len(got), got[len(got)-1])
	}
}

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

func TestTooLarge(t *testing.T) {
	write(t, map[string]string{"f.toml": strings.Repeat("# comment\n", 500_000)})
	if _, err := config.Load(config.Options{File: "f.toml"}); err == nil || err.Error() != "read f.toml: is larger than 4 MiB" {
		t.Errorf("%v", err)
	}
}

// Lines may be as long as files: nothing is looked at again for each of what is in them.
func TestLongLines(t *testing.T) {
	var tables, twice strings.Builder
	for n := range 50_000 {
		fmt.Fprintf(&tables, "l%d = { burst = 1 }, ", n)
		twice.WriteString("burst = 1, ")
	}
	write(t, map[string]string{"f.toml": "limits = { " + tables.String() + "}\n", "g.toml": "defaults = { " + twice.String() + "}\n"})
	c, err := config.Load(config.Options{File: "f.toml"})
	if err != nil || len(c.Limits()) != 50_000 {
		t.Errorf("%v", err)
	}
	if got := config.Check("g.toml", checks()); len(got) != 21 || got[0].Error() != "g.toml:1:25: burst is given twice: first in line 1" {
		t.Errorf("%v", got)
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

const shown = `[defaults]
burst = 2
max_wait = "30s"
attempts = 3

[limits.ec2]
rate = "20/s"
burst = 10
key = "aws-{limit}-{account}"

[limits.ec2.accounts."1234"]
every = "1s"

[limits.ec2.accounts.closed]
limit = 0

[limits.gh]
rate = ["15/m", { rate = "100/h", algorithm = "sliding-window", burst = 5, zone = "UTC" }]
debt = true

[limits.none]
limit = 0
accounts.some.rate = "1/s"
`

// For each field the account is asked, then the limit, the flags, the defaults.
func TestLookup(t *testing.T) {
	loaded := load(t, shown)
	given := map[string]config.Given{
		"rate": {Texts: []string{"1/s", "2/m"}}, "burst": {Texts: []string{"7"}}, "cost": {Texts: []string{"3"}, Env: "THROTTLE_COST"},
		"max_wait": {Texts: []string{"5s"}}, "key": {},
	}
	for _, c := range []struct {
		limit, account string
		given          map[string]config.Given
		want           []string
	}{
		{"ec2", "1234", given, []string{
			"every 1s: account 1234 of limit ec2, throttle.toml:12, not rate 20/s: limit ec2, throttle.toml:7, not rate 1/s|2/m: flag --rate",
			"algorithm paced: built in",
			"burst 10: limit ec2, throttle.toml:8, not burst 7: flag --burst, not burst 2: defaults, throttle.toml:2",
			"cost 3: environment variable THROTTLE_COST",
			"max_wait 5s: flag --max-wait, not max_wait 30s: defaults, throttle.toml:3",
			"key aws-ec2-1234: limit ec2, throttle.toml:9",
			"attempts 3: defaults, throttle.toml:4",
		}},
		{"ec2", "other", nil, []string{
			"rate 20/s: limit ec2, throttle.toml:7",
			"algorithm paced: built in",
			"burst 10: limit ec2, throttle.toml:8, not burst 2: defaults, throttle.toml:2",
			"max_wait 30s: defaults, throttle.toml:3",
			"key aws-ec2-other: limit ec2, throttle.toml:9",
			"attempts 3: defaults, throttle.toml:4",
		}},
		{"gh", "", nil, []string{
			"rate 15/m|100/h,algorithm=sliding-window,burst=5,zone=UTC: limit gh, throttle.toml:18",
			"algorithm paced: built in",
			"burst 2: defaults, throttle.toml:2",
			"debt true: limit gh, throttle.toml:19",
			"max_wait 30s: defaults, throttle.toml:3",
			"key gh: built in",
			"attempts 3: defaults, throttle.toml:4",
		}},
		{"", "", map[string]config.Given{"every": {Texts: []string{"1s"}}}, []string{
			"every 1s: flag --every",
			"algorithm paced: built in",
			"burst 2: defaults, throttle.toml:2",
			"max_wait 30s: defaults, throttle.toml:3",
			"attempts 3: defaults, throttle.toml:4",
		}},
	} {
		var got []string
		for _, v := range lookup(t, loaded, c.limit, c.account, c.given).Values {
			line := fmt.Sprintf("%s %s: %s", v.Field, strings.Join(v.Texts, "|"), v.Origin)
			for _, o := range v.Overruled {
				line += fmt.Sprintf(", not %s %s: %s", o.Field, strings.Join(o.Texts, "|"), o.Origin)
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("limit %q, account %q:\n  %s\nand not\n  %s", c.limit, c.account, strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
		}
	}
	// Flags that a file overrules are told by what it has.
	e := lookup(t, loaded, "ec2", "1234", given)
	var from []string
	for _, v := range e.FromFile() {
		from = append(from, v.Field)
	}
	if !slices.Equal(from, []string{"every", "burst", "key", "attempts"}) || !slices.Equal(e.Texts("burst"), []string{"10"}) || e.Texts("store") != nil {
		t.Errorf("from the file are %q, the burst is %q", from, e.Texts("burst"))
	}
}

func TestBlocked(t *testing.T) {
	c := load(t, shown)
	for _, c2 := range []struct {
		limit, account string
		blocked        bool
		who            string
	}{
		{"ec2", "", false, ""},
		{"ec2", "1234", false, ""},
		{"ec2", "closed", true, "account closed of limit ec2, throttle.toml:15"},
		{"none", "", true, "limit none, throttle.toml:22"},
		{"none", "other", true, "limit none, throttle.toml:22"},
		{"none", "some", false, ""}, // an account that has a rate is let through
	} {
		given := map[string]config.Given{"rate": {Texts: []string{"9/s"}}, "key": {Texts: []string{"k"}}}
		if c2.limit == "ec2" && c2.account == "" {
			if _, err := c.Lookup("ec2", "", nil); err == nil || err.Error() != `key = "aws-{limit}-{account}" has {account}, but none is given: give --account (limit ec2, throttle.toml:9)` {
				t.Errorf("%v", err)
			}
			continue
		}
		e := lookup(t, c, c2.limit, c2.account, given)
		v, _ := e.Value("limit")
		if e.Blocked != c2.blocked || c2.blocked && v.Origin.String() != c2.who {
			t.Errorf("limit %s, account %s: %v, by %s", c2.limit, c2.account, e.Blocked, v.Origin)
		}
	}
	if got := lookup(t, c, "none", "some", nil).Texts("key"); !slices.Equal(got, []string{"none:some"}) {
		t.Errorf("the key is %q", got)
	}
	// Who blocks by default blocks what has no rate.
	c = load(t, "[defaults]\nlimit = 0\n[limits.a]\nrate = '1/s'\n[limits.b]\nburst = 5\n")
	if lookup(t, c, "a", "", nil).Blocked || !lookup(t, c, "b", "", nil).Blocked {
		t.Error("a is blocked, or b isn't")
	}
}

// A block stands beside the rate, so that it can be taken away again.
func TestBlockBesideRate(t *testing.T) {
	e := lookup(t, load(t, "[limits.a]\nrate = '1/s'\nlimit = 0\n"), "a", "", nil)
	if !e.Blocked || !slices.Equal(e.Texts("rate"), []string{"1/s"}) {
		t.Errorf("%+v", e)
	}
}

func TestLookupErrors(t *testing.T) {
	c := load(t, shown)
	for _, c2 := range []struct{ limit, account, want string }{
		{"ec", "", "there is no limit \"ec\" in throttle.toml: did you mean \"ec2\"?\nthere are ec2, gh, none"},
		{"EC-2", "", "there is no limit \"EC-2\" in throttle.toml: did you mean \"ec2\"?\nthere are ec2, gh, none"},
		{"s3", "", "there is no limit \"s3\" in throttle.toml\nthere are ec2, gh, none"},
		{"", "1234", "account 1234 is that of no limit: say which"},
	} {
		if _, err := c.Lookup(c2.limit, c2.account, nil); err == nil || err.Error() != c2.want {
			t.Errorf("%q, %q: %v", c2.limit, c2.account, err)
		}
	}
	if _, err := load(t, "").Lookup("a", "", nil); err == nil || err.Error() != `there is no limit "a": there are none in throttle.toml` {
		t.Errorf("%v", err)
	}
	var many strings.Builder
	for n := range 25 {
		fmt.Fprintf(&many, "[limits.%c]\n", 'a'+n)
	}
	if _, err := load(t, many.String()).Lookup("one", "", nil); err == nil || !strings.HasSuffix(err.Error(), ", s, t and 5 more") {
		t.Errorf("%v", err)
	}
	if err := os.Remove(config.FileName); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Options{Getenv: env(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lookup("a", "", nil); err == nil || err.Error() != "there is no limit \"a\": there is no file\nit would be [limits.a] in throttle.toml, or in the file that is named with --config" {
		t.Errorf("%v", err)
	}
}

// A name in a key is not replaced again.
func TestKeyIsFilledOnce(t *testing.T) {
	c := load(t, "[limits.a]\nkey = '{account}/{limit}/{1}'\n")
	if got := lookup(t, c, "a", "{limit}", nil).Texts("key"); !slices.Equal(got, []string{"{limit}/a/{1}"}) {
		t.Errorf("the key is %q", got)
	}
}

// The nearer file's limit stands for the whole; of the defaults each field does.
func TestNearerFile(t *testing.T) {
	write(t, map[string]string{
		"throttle.toml":              "[defaults]\nburst = 2\n[limits.both]\nrate = '1/s'\n",
		"xdg/throttle/throttle.toml": "[defaults]\nburst = 3\ncost = 3\n[limits.both]\nrate = '2/s'\nmax_queue = 9\naccounts.a.rate = '3/s'\n[limits.far]\nrate = '4/s'\n",
	})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Options{Getenv: env(map[string]string{"XDG_CONFIG_HOME": filepath.Join(here, "xdg")}), Checks: checks()})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := lookup(t, c, "both", "a", nil).Write(&b); err != nil {
		t.Fatal(err)
	}
	far := filepath.Join(here, "xdg", "throttle", "throttle.toml")
	want := `limit both, account a, of which the file has nothing
  rate   1/s     limit both, throttle.toml:4
  burst  2       defaults, throttle.toml:2
    not  3       defaults, FAR:2
  cost   3       defaults, FAR:3
  key    both:a  built in
not in force: limit both, FAR:4, since a nearer file has a limit of that name
`
	if got := strings.ReplaceAll(b.String(), far, "FAR"); got != want {
		t.Errorf("%s", got)
	}
	if got := c.Limits(); !slices.Equal(got, []string{"both", "far"}) || c.FileOf("both") != "throttle.toml" || c.FileOf("far") != far || c.FileOf("none") != "" {
		t.Errorf("the limits are %q", got)
	}
}

func TestWrite(t *testing.T) {
	c := load(t, shown)
	given := map[string]config.Given{"burst": {Texts: []string{"7"}}, "cost": {Texts: []string{"3"}, Env: "THROTTLE_COST"}}
	var b bytes.Buffer
	if err := lookup(t, c, "ec2", "1234", given).Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := lookup(t, c, "ec2", "closed", nil).Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteList(&b); err != nil {
		t.Fatal(err)
	}
	want := `limit ec2, account 1234
  every      1s            account 1234 of limit ec2, throttle.toml:12
    not      rate 20/s     limit ec2, throttle.toml:7
  algorithm  paced         built in
  burst      10            limit ec2, throttle.toml:8
    not      7             flag --burst
    not      2             defaults, throttle.toml:2
  cost       3             environment variable THROTTLE_COST
  max_wait   30s           defaults, throttle.toml:3
  key        aws-ec2-1234  limit ec2, throttle.toml:9
  attempts   3             defaults, throttle.toml:4
limit ec2, account closed
  rate       20/s            limit ec2, throttle.toml:7
  limit      0               account closed of limit ec2, throttle.toml:15
  algorithm  paced           built in
  burst      10              limit ec2, throttle.toml:8
    not      2               defaults, throttle.toml:2
  max_wait   30s             defaults, throttle.toml:3
  key        aws-ec2-closed  limit ec2, throttle.toml:9
  attempts   3               defaults, throttle.toml:4
blocked: nothing is granted (account closed of limit ec2, throttle.toml:15)
ec2   20/s                                                      2 accounts  throttle.toml:6
gh    15/m and 100/h,algorithm=sliding-window,burst=5,zone=UTC              throttle.toml:17
none  blocked (limit = 0)                                       1 account   throttle.toml:21
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}

// The names stay as they are.
func TestWriteJSON(t *testing.T) {
	c := load(t, shown)
	var b bytes.Buffer
	if err := lookup(t, c, "ec2", "1234", map[string]config.Given{"cost": {Texts: []string{"3"}, Env: "THROTTLE_COST"}}).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := []string{"account", "account_known", "blocked", "limit", "not_in_force", "values"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("%s", b.String())
	}
	values, _ := got["values"].([]any)
	for i, want := range map[int]string{
		0: `{"account":"1234","column":1,"field":"every","file":"throttle.toml","from":"account","limit":"ec2","line":12,"overruled":[{"column":1,"field":"rate","file":"throttle.toml","from":"limit","limit":"ec2","line":7,"value":["20/s"]}],"value":"1s"}`,
		3: `{"env":"THROTTLE_COST","field":"cost","flag":"--cost","from":"flag","overruled":[],"value":3}`,
		6: `{"column":1,"field":"attempts","file":"throttle.toml","from":"defaults","line":4,"overruled":[],"value":3}`,
	} {
		if text, err := json.Marshal(values[i]); err != nil || string(text) != want {
			t.Errorf("value %d is %s", i, text)
		}
	}
	b.Reset()
	if err := c.WriteListJSON(&b); err != nil {
		t.Fatal(err)
	}
	var list []any
	if err := json.Unmarshal(b.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	want := `{"accounts":[{"fields":{"rate":["1/s"]},"line":23,"name":"some"}],"fields":{"limit":0},"file":"throttle.toml","line":21,"name":"none"}`
	if text, err := json.Marshal(list[2]); err != nil || string(text) != want || strings.Contains(b.String(), "null") {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := load(t, "").WriteListJSON(&b); err != nil || b.String() != "[]\n" {
		t.Errorf("an empty list is %s", b.String())
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
