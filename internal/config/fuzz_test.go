package config_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"github.com/throttle-cli/throttle/internal/config"
)

func seeds(f *testing.F) []string {
	f.Helper()
	return []string{
		"", noted, shown, "a.\"b c\" = 1 # c\n[ x . y ]\nq = \"z\\n\"\nm='''\nfoo'''\nb=true\ni=[1, 'x', {a=1, b.c = \"d\"} ,\n]\nt = { }\n[[p]]\nf=-1.5\nd=2020-01-01\n",
		"[a]\nb.c=1\n[a.b]\n", "[a]\nb.c=1\n[a.b.d]\nx=1\n", "[[a]]\n[a.b]\n[[a]]\n[a.b]\n", "a={b={c=1}}\n[a.b.d]\n", "[a.b]\n[a]\nb.c=1\n", "a=[{b=1,b.c=2}]",
		"a = 0x7f_ff\nb = 0o17\nc = -0b11\nd = +1_000\n", "limits.a.rate = ['1/s', { rate = '2/s', burst = 5 }]\n", "[limits]\na = {\n  rate = '1/s', # x\n  burst = 5,\n}\n",
		"[[limits.a.rate]]\nrate = '1/s'\n[limits.a.accounts.b]\n", "\ufeff[defaults]\r\nburst = 2\r\n", "a=1\na=2\n[a]\n[a]\n[[a]]\n", "limits = { a = {}, b.c = 1, }\n",
	}
}

// Nothing panics, what is wrong has a place, and what is TOML is what the library says.
func FuzzCheck(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wrong := config.CheckText([]byte(text))
		lines := strings.Count(text, "\n") + 1
		last := 0
		for _, err := range wrong {
			var e *config.Error
			if !errors.As(err, &e) {
				continue // how many more there are
			}
			if e.Line < max(last, 1) || e.Line > lines || e.Column < 1 || e.Column > utf8.RuneCountInString(text)+1 {
				t.Errorf("%v: in %d lines, after line %d", err, lines, last)
			}
			last = e.Line
		}
		var all map[string]any
		plain := bytes.TrimPrefix([]byte(text), []byte("\ufeff"))
		err := toml.Unmarshal(plain, &all)
		if err != nil && len(wrong) == 0 {
			t.Errorf("%q is taken for TOML, but: %v", text, err)
		}
		if err == nil && config.Syntax(plain) > 0 {
			t.Errorf("%q is TOML, but: %v", text, wrong)
		}
	})
}

// A change of a file that is right can be made and undone, however it is written.
func FuzzSet(f *testing.F) {
	for i, s := range seeds(f) {
		f.Add(s, []string{"a", "ec2", "new"}[i%3], []string{"", "1234", "b"}[i%3])
	}
	f.Fuzz(func(t *testing.T, text, limit, account string) {
		if len(config.CheckText([]byte(text))) > 0 || !utf8.ValidString(limit) || !utf8.ValidString(account) || limit == "" && account != "" {
			return
		}
		e := config.Entry{Limit: limit, Account: account, Field: "cost"}
		set, err := config.SetIn([]byte(text), e, []string{"7"})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if again, err := config.SetIn(set, e, []string{"7"}); err != nil || !bytes.Equal(again, set) {
			t.Errorf("%q became %q, and then %q: %v", text, set, again, err)
		}
		if unset, err := config.UnsetIn(set, e); err != nil || bytes.Equal(unset, set) {
			t.Errorf("%q became %q, and then %q: %v", text, set, unset, err)
		}
		e.Field = ""
		if _, err := config.UnsetIn(set, e); err != nil {
			t.Errorf("%q became %q, and then: %v", text, set, err)
		}
	})
}
