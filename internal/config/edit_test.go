package config_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/throttle-cli/throttle/internal/config"
)

func set(path, limit, account, field string, texts ...string) error {
	return config.Set(context.Background(), path, config.Entry{Limit: limit, Account: account, Field: field}, texts, checks())
}

func unset(path, limit, account, field string) error {
	return config.Unset(context.Background(), path, config.Entry{Limit: limit, Account: account, Field: field}, checks())
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const noted = `# ours
[defaults]
burst = 2 # small

# the cloud
[limits.ec2]
rate = "20/s"   # they say 25
  burst = 10
# not yet: cost = 5

[limits.ec2.accounts."1234"]
rate = "5/s"

# the last
[limits.gh]
rate = [
  "15/m", # per user
  "100/h",
]
`

func TestSet(t *testing.T) {
	for _, c := range []struct {
		name, text            string
		limit, account, field string
		texts                 []string
		old, want             string // in the text, and instead of it; without old all of it
	}{
		{"a value", noted, "ec2", "", "rate", []string{"25/s"}, `rate = "20/s"`, `rate = "25/s"`},
		{"a number", noted, "", "", "burst", []string{"3"}, "burst = 2", "burst = 3"},
		{"of an account", noted, "ec2", "1234", "rate", []string{"1/s"}, `rate = "5/s"`, `rate = "1/s"`},
		{"several rates", noted, "ec2", "", "rate", []string{"20/s", "1/m,burst=5"}, `rate = "20/s"`, `rate = ["20/s", "1/m,burst=5"]`},
		{"of many lines", noted, "gh", "", "rate", []string{"1/s"}, "[\n  \"15/m\", # per user\n  \"100/h\",\n]", `"1/s"`},
		{"a new field", noted, "ec2", "", "debt", []string{"true"}, "  burst = 10\n", "  burst = 10\n  debt = true\n"},
		{"a new default", noted, "", "", "key", []string{`{limit}"\` + "\t\x01"}, "# small\n", "# small\nkey = \"{limit}\\\"\\\\\\t\\u0001\"\n"},
		{"a new field at the end", noted, "gh", "", "max_wait", []string{"1m"}, ",\n]\n", ",\n]\nmax_wait = \"1m\"\n"},
		{
			"a new account", noted, "ec2", "a b", "limit",
			[]string{"0"},
			"\"5/s\"\n", "\"5/s\"\n\n[limits.ec2.accounts.\"a b\"]\nlimit = 0\n",
		},
		{"a new account where there is none", "[limits.a]\nrate = '1/s'\n# note\n[limits.b]\nrate = '2/s'", "a", "1", "limit", []string{"0"}, "# note\n", "# note\n\n[limits.a.accounts.1]\nlimit = 0\n\n"},
		{"a new limit", noted, "s3", "", "every", []string{"1s"}, "", noted + "\n[limits.s3]\nevery = \"1s\"\n"},
		{"a limit that has accounts only", "[limits.a.accounts.b]\nlimit = 0\n\n[limits.c]\n", "a", "", "rate", []string{"1/s"}, "limit = 0\n", "limit = 0\n\n[limits.a]\nrate = \"1/s\"\n"},
		{"an empty table", "[limits.a]\n[limits.b]\n", "a", "", "rate", []string{"1/s"}, "[limits.a]\n", "[limits.a]\nrate = \"1/s\"\n"},
		{"the first", "", "a", "", "rate", []string{"1/s"}, "", "[limits.a]\nrate = \"1/s\"\n"},
		{"below a comment", "# mine", "", "", "burst", []string{"2"}, "", "# mine\n\n[defaults]\nburst = 2\n"},
		{"without a last newline", "[limits.a]\nburst = 2", "a", "", "cost", []string{"2"}, "", "[limits.a]\nburst = 2\ncost = 2"},
		{"a new limit without a last newline", "[limits.a]\nburst = 2", "b", "", "cost", []string{"2"}, "", "[limits.a]\nburst = 2\n\n[limits.b]\ncost = 2\n"},
		{"CR LF, and a mark in front", "\ufeff[limits.a]\r\nburst = 2\r\n", "a", "1", "cost", []string{"2"}, "", "\ufeff[limits.a]\r\nburst = 2\r\n\r\n[limits.a.accounts.1]\r\ncost = 2\r\n"},
		{"in braces", "limits.a = { rate = '1/s' } # x\n", "a", "", "burst", []string{"2"}, "'1/s'", "'1/s', burst = 2"},
		{"in braces with a comma", "[limits]\na = { rate = '1/s', }\n", "a", "1", "rate", []string{"2/s"}, "'1/s'", `'1/s', accounts.1.rate = "2/s"`},
		{"in empty braces", "limits.a = { }\n", "a", "", "burst", []string{"2"}, "{ }", "{ burst = 2 }"},
		{"by dots", "[limits]\n  a.rate = '1/s' # x\nb.rate = '1/s'\n", "a", "", "burst", []string{"2"}, "# x\n", "# x\n  a.burst = 2\n"},
		{"by dots on top", "limits.a.rate = '1/s'\n[defaults]\n", "b c", "", "burst", []string{"2"}, "'1/s'\n", "'1/s'\nlimits.\"b c\".burst = 2\n"},
		{"by dots in braces", "limits = { a.rate = '1/s', b = {} }\n", "a", "", "burst", []string{"2"}, "'1/s'", "'1/s', a.burst = 2"},
		{"accounts by dots", "[limits.a]\naccounts.b.rate = '1/s'\n", "a", "c", "limit", []string{"0"}, "'1/s'\n", "'1/s'\naccounts.c.limit = 0\n"},
		{"another limit in braces", "limits = { a = { rate = '1/s' } }\n", "b", "", "burst", []string{"2"}, "} }", "}, b.burst = 2 }"},
		{"what mends the file", "[limits.a]\nrate = 5\n", "a", "", "rate", []string{"5/s"}, "5\n", "\"5/s\"\n"},
	} {
		write(t, map[string]string{"f.toml": c.text})
		want := c.want
		if c.old != "" {
			want = strings.Replace(c.text, c.old, c.want, 1)
		}
		if err := set("f.toml", c.limit, c.account, c.field, c.texts...); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := read(t, "f.toml"); got != want {
			t.Errorf("%s:\n%s\nand not\n%s", c.name, got, want)
		}
	}
}

func TestUnset(t *testing.T) {
	for _, c := range []struct {
		name, text            string
		limit, account, field string
		old, want             string
	}{
		{"a field", noted, "ec2", "", "rate", "rate = \"20/s\"   # they say 25\n", ""},
		{"a field of many lines", noted, "gh", "", "rate", "rate = [\n  \"15/m\", # per user\n  \"100/h\",\n]\n", ""},
		{"a default", noted, "", "", "burst", "burst = 2 # small\n", ""},
		{"an account", noted, "ec2", "1234", "", "[limits.ec2.accounts.\"1234\"]\nrate = \"5/s\"\n\n", ""},
		{"a limit", noted, "gh", "", "", "[limits.gh]\nrate = [\n  \"15/m\", # per user\n  \"100/h\",\n]\n", ""},
		{
			"a limit and its accounts", noted, "ec2", "", "",
			noted[strings.Index(noted, "[limits.ec2]"):strings.Index(noted, "# the last")], "# not yet: cost = 5\n\n",
		},
		{"all defaults", noted, "", "", "", "[defaults]\nburst = 2 # small\n", ""},
		{"a list of tables", "[[limits.a.rate]]\nrate = '1/s'\n[[limits.a.rate]]\nrate = '1/m'\n[limits.b]\n", "a", "", "rate", "[[limits.a.rate]]\nrate = '1/s'\n[[limits.a.rate]]\nrate = '1/m'\n", ""},
		{"the first in braces", "limits.a = { rate = '1/s', burst = 2 }\n", "a", "", "rate", "rate = '1/s', ", ""},
		{"the last in braces", "limits.a = { rate = '1/s', burst = 2 }\n", "a", "", "burst", ", burst = 2", ""},
		{"the only one in braces", "limits.a = { rate = '1/s' , }\n", "a", "", "rate", "rate = '1/s' ,", ""},
		{"a limit in braces", "limits = { a = { rate = '1/s' }, b = {} }\n", "a", "", "", "a = { rate = '1/s' }, ", ""},
		{"by dots", "limits.a.rate = '1/s'\nlimits.b.rate = '1/s'\nlimits.a.burst = 2\n", "a", "", "", "", "limits.b.rate = '1/s'\n"},
		{"by dots and a header", "[limits]\na.rate = '1/s'\n[limits.a.accounts.b]\nlimit = 0\n", "a", "", "", "a.rate = '1/s'\n[limits.a.accounts.b]\nlimit = 0\n", ""},
		{"without a last newline", "[limits.a]\nrate = '1/s'", "a", "", "rate", "rate = '1/s'", ""},
		{"what mends the file", "[limits.a]\nbrust = 5\n[limits.b]\n", "a", "", "", "[limits.a]\nbrust = 5\n", ""},
	} {
		write(t, map[string]string{"f.toml": c.text})
		want := c.want
		if c.old != "" {
			want = strings.Replace(c.text, c.old, c.want, 1)
		}
		if err := unset("f.toml", c.limit, c.account, c.field); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := read(t, "f.toml"); got != want {
			t.Errorf("%s:\n%s\nand not\n%s", c.name, got, want)
		}
	}
}

// A change that can't be made leaves the file, and no other, as it is.
func TestEditErrors(t *testing.T) {
	text := "[limits.a]\nrate = \"1/s\"\n[[limits.b.rate]]\nrate = '1/s'\n"
	for _, c := range []struct {
		name, text string
		do         func() error
		want       string
	}{
		{"a field that isn't", text, func() error { return set("f.toml", "a", "", "brust", "5") }, `there is no field "brust": did you mean "burst"?` + "\nthere are " + fieldNames},
		{"to unset likewise", text, func() error { return unset("f.toml", "a", "", "brust") }, `there is no field "brust": did you mean "burst"?` + "\nthere are " + fieldNames},
		{"an account of nothing", text, func() error { return set("f.toml", "", "1", "burst", "5") }, "account 1 is that of no limit: say which"},
		{"a bad rate", text, func() error { return set("f.toml", "a", "", "rate", "5") }, `rate "5" is bad: a rate is N/UNIT such as 10/s`},
		{"a bad number", text, func() error { return set("f.toml", "a", "", "burst", "five") }, `burst "five" is no whole number: it is a whole number of 1 or more, such as burst = 5`},
		{"a small number", text, func() error { return set("f.toml", "a", "", "burst", "0") }, `burst = 0 can't be: it is a whole number of 1 or more, such as burst = 5`},
		{"a bad boolean", text, func() error { return set("f.toml", "a", "", "debt", "1") }, `debt "1" can't be: it is true or false`},
		{"a bad time", text, func() error { return set("f.toml", "a", "", "max_wait", "1") }, `max_wait = "1" is no time: it is a text, a time with its unit, such as max_wait = "30s"`},
		{"a bad limit", text, func() error { return set("f.toml", "a", "", "limit", "1") }, `limit = 1 can't be: it is 0 only, which blocks: how many there may be says rate, as in rate = "20/s"`},
		{"no value", text, func() error { return set("f.toml", "a", "", "rate") }, "rate has 0 values: " + rateIs},
		{"two values", text, func() error { return set("f.toml", "a", "", "burst", "1", "2") }, "burst has 2 values: it is a whole number of 1 or more, such as burst = 5"},
		{"not UTF-8", text, func() error { return set("f.toml", "a", "", "key", "\xff") }, `"\xff" is not UTF-8: a file can't have it`},
		{"both", text, func() error { return set("f.toml", "a", "", "every", "1s") }, "f.toml is left as it is, since with that it would be wrong:\nf.toml:3:1: rate and every both say the rate of limit a: give one of them (rate is in line 2)"},
		{"a default key of all", text, func() error { return set("f.toml", "", "", "key", "k") }, "f.toml is left as it is, since with that it would be wrong:\n" + `f.toml:7:7: key = "k" would be that of all limits: put {limit} into it, as in key = "{limit}:{account}"`},
		{"a list of tables", text, func() error { return set("f.toml", "b", "", "rate", "1/s") }, "limits.b.rate in line 3 is a list of tables: change it with an editor"},
		{"a broken file", "[limits.a\n", func() error { return set("f.toml", "a", "", "burst", "5") }, "f.toml:1:10: expected ']' to close table name"},
		{"a wrong file", "[limits.a]\nbrust = 5\n", func() error { return set("f.toml", "a", "", "burst", "5") }, "f.toml is left as it is, since with that it would be wrong:\n" + `f.toml:2:1: unknown key "brust" in limit a: did you mean "burst"?` + "\nthere are " + fieldNames + ", accounts"},
		{"nothing to unset", text, func() error { return unset("f.toml", "a", "", "burst") }, "limit a has no burst in f.toml"},
		{"no account to unset", text, func() error { return unset("f.toml", "a", "1", "") }, "there is no account 1 of limit a in f.toml"},
		{"no limit to unset", text, func() error { return unset("f.toml", "c", "", "") }, "there is no limit c in f.toml"},
		{"no defaults to unset", text, func() error { return unset("f.toml", "", "", "") }, "there are no defaults in f.toml"},
	} {
		write(t, map[string]string{"f.toml": c.text})
		if err := c.do(); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v\nand not: %s", c.name, err, c.want)
		}
		if got := read(t, "f.toml"); got != c.text {
			t.Errorf("%s: the file has become %s", c.name, got)
		}
		if files, err := os.ReadDir("."); err != nil || len(files) != 1 {
			t.Errorf("%s: there are %v", c.name, files)
		}
	}
	if err := unset("nowhere/f.toml", "a", "", "burst"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat("nowhere"); err == nil {
		t.Error("unset has made a directory")
	}
}

// The file keeps its mode, a link stays a link, and what is not there is made.
func TestReplace(t *testing.T) {
	write(t, map[string]string{"real/f.toml": "[limits.a]\nburst = 2\n", "real/f.toml.new": "of one that was killed"})
	if err := set("new/dir/f.toml", "a", "", "burst", "3"); err != nil || read(t, "new/dir/f.toml") != "[limits.a]\nburst = 3\n" {
		t.Errorf("a new file: %v", err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("it has no modes, and links for some only")
	}
	if err := os.Chmod("real/f.toml", 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("real", "f.toml"), "f.toml"); err != nil {
		t.Fatal(err)
	}
	if err := set("f.toml", "a", "", "burst", "3"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat("real/f.toml")
	if err != nil || info.Mode() != 0o640 || read(t, "real/f.toml") != "[limits.a]\nburst = 3\n" {
		t.Errorf("%v, %v", info, err)
	}
	if link, err := os.Lstat("f.toml"); err != nil || link.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", link, err)
	}
	if files, err := os.ReadDir("real"); err != nil || len(files) != 1 {
		t.Errorf("there are %v", files)
	}
	if err := os.Symlink("nowhere", "dangling"); err != nil {
		t.Fatal(err)
	}
	if err := set("dangling", "a", "", "burst", "3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing: %v", err)
	}
}

// Of many at once none is lost.
func TestSetAtOnce(t *testing.T) {
	write(t, map[string]string{"f.toml": noted})
	const n = 20
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := set("f.toml", fmt.Sprintf("l%d", i), "", "burst", "5"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c, err := config.Load(config.Options{File: "f.toml", Checks: checks()})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(c.Limits()); got != n+2 {
		t.Errorf("there are %d limits", got)
	}
	if files, err := os.ReadDir("."); err != nil || len(files) != 1 {
		t.Errorf("there are %v", files)
	}
}

// Who can't have the lock gives up when he is told to.
func TestSetIsInterrupted(t *testing.T) {
	write(t, map[string]string{"f.toml": noted})
	unlock, err := config.TryLock("f.toml.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = config.Set(ctx, "f.toml", config.Entry{Limit: "a", Field: "burst"}, []string{"5"}, checks())
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "change f.toml: is being changed by another process") || read(t, "f.toml") != noted {
		t.Errorf("%v", err)
	}
}
