package config_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/config"
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
		for _, err := range wrongWith(t, "f.toml") {
			var e *config.Error
			if !errors.As(err, &e) || e.File != "f.toml" {
				t.Errorf("%s: %#v", c.name, err)
			}
			got = append(got, strings.TrimPrefix(err.Error(), "f.toml:"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nhas\n  %s\nand not\n  %s", c.name, c.text, strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	write(t, map[string]string{"f.toml": "[defaults]\n" + strings.Repeat("brust = 1\n", 100)})
	got := wrongWith(t, "f.toml")
	if len(got) != 21 || got[20].Error() != "f.toml: and 80 more errors" {
		t.Errorf("%d errors, at last %v", len(got), got[len(got)-1])
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
	if got := wrongWith(t, "g.toml"); len(got) != 21 || got[0].Error() != "g.toml:1:25: burst is given twice: first in line 1" {
		t.Errorf("%v", got)
	}
}
