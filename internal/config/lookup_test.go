package config_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/config"
)

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
			"burst 10: limit ec2, throttle.toml:8, not burst 7: flag --burst, not burst 2: defaults, throttle.toml:2",
			"cost 3: environment variable THROTTLE_COST",
			"max_wait 5s: flag --max-wait, not max_wait 30s: defaults, throttle.toml:3",
			"key aws-ec2-1234: limit ec2, throttle.toml:9",
			"attempts 3: defaults, throttle.toml:4",
		}},
		{"ec2", "other", nil, []string{
			"rate 20/s: limit ec2, throttle.toml:7",
			"burst 10: limit ec2, throttle.toml:8, not burst 2: defaults, throttle.toml:2",
			"max_wait 30s: defaults, throttle.toml:3",
			"key aws-ec2-other: limit ec2, throttle.toml:9",
			"attempts 3: defaults, throttle.toml:4",
		}},
		{"gh", "", nil, []string{
			"rate 15/m|100/h,algorithm=sliding-window,burst=5,zone=UTC: limit gh, throttle.toml:18",
			"burst 2: defaults, throttle.toml:2",
			"debt true: limit gh, throttle.toml:19",
			"max_wait 30s: defaults, throttle.toml:3",
			"key gh: built in",
			"attempts 3: defaults, throttle.toml:4",
		}},
		{"", "", map[string]config.Given{"every": {Texts: []string{"1s"}}}, []string{
			"every 1s: flag --every",
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
