package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/config"
)

// with returns a Config of a text that is stored, and of a file.
func with(t *testing.T, stored, file string) *config.Config {
	t.Helper()
	write(t, map[string]string{"file": file})
	c, err := config.Load(config.Options{File: "file", Checks: checks()})
	if err == nil {
		c, err = c.With([]config.Text{{Name: "table", Data: []byte(stored)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a store keeps goes before what the files have, as a nearer file does.
func TestWith(t *testing.T) {
	c := with(t, "[limits.a]\nrate = \"1/s\"\n", "[defaults]\nburst = 3\n[limits.a]\nrate = \"2/s\"\n[limits.b]\nrate = \"3/s\"\n")
	e, err := c.Lookup("a", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := e.Value("rate")
	if !slices.Equal(v.Texts, []string{"1/s"}) || !v.Origin.Stored || v.Origin.File != "table" {
		t.Errorf("rate %+v", v)
	}
	if v, _ := e.Value("burst"); !slices.Equal(v.Texts, []string{"3"}) || v.Origin.Stored {
		t.Errorf("burst %+v", v)
	}
	if e, err := c.Lookup("b", "", nil); err != nil || !slices.Equal(e.Texts("rate"), []string{"3/s"}) {
		t.Error(err)
	}
	var wrong config.Errors
	_, err = c.With([]config.Text{{Name: "table", Data: []byte("[limits.a]\nstore = \"file\"\nbrust = 2\n")}})
	if !errors.As(err, &wrong) || len(wrong) != 2 || !strings.Contains(err.Error(), "table:2:1: store: what a store keeps") {
		t.Error(err)
	}
}

func TestTextSetAndUnset(t *testing.T) {
	text := config.Text{Name: "table", Data: []byte("# why\n[limits.a]\nrate = \"1/s\" # so\n")}
	data, err := text.Set(config.Entry{Limit: "a", Account: "x", Field: "limit"}, []string{"0"}, checks())
	if err != nil {
		t.Fatal(err)
	}
	if want := "# why\n[limits.a]\nrate = \"1/s\" # so\n\n[limits.a.accounts.x]\nlimit = 0\n"; string(data) != want {
		t.Errorf("%q, want %q", data, want)
	}
	text.Data = data
	if data, err = text.Unset(config.Entry{Limit: "a", Account: "x"}, checks()); err != nil || strings.Contains(string(data), "accounts") {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := text.Unset(config.Entry{Limit: "b"}, checks()); err == nil {
		t.Error("what is not there was taken out")
	}
	if _, err := text.Set(config.Entry{Limit: "a", Field: "rate"}, []string{"x"}, checks()); err == nil {
		t.Error("a wrong rate was set")
	}
}

func TestCompare(t *testing.T) {
	from := config.Text{Name: "from", Data: []byte("[defaults]\nburst = 2\n[limits.a]\nrate = \"1/s\"\nburst = 2\n[limits.b]\nrate = \"1/s\"\n[limits.c]\nrate = \"1/s\"\n[limits.c.accounts.x]\nlimit = 0\n[limits.d]\nrate = \"1/s\"\n")}
	to := config.Text{Name: "to", Data: []byte("[limits.e]\nrate = \"1/s\"\n[limits.c]\nrate = \"1/s\"\n[limits.b]\nrate = \"2/s\"\n[limits.a]\nburst = 2 # the same\nrate = \"1/s\"\n")}
	d, err := config.Compare(from, to, checks())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Added, []string{"e"}) || !slices.Equal(d.Changed, []string{"c", "b"}) || !slices.Equal(d.Deleted, []string{"", "d"}) {
		t.Errorf("%+v", d)
	}
	if _, err := config.Compare(from, config.Text{Name: "to", Data: []byte("[limits.a]\nbrust = 1\n")}, checks()); err == nil || !strings.Contains(err.Error(), "to:2:1") {
		t.Error(err)
	}
}

func TestOwner(t *testing.T) {
	c := with(t, `[limits.a]
rate = "1/s"
[limits.a.accounts.x]
rate = "2/s"
[limits.b]
rate = "1/s"
key = "of/{account}/b"
[limits.ab]
rate = "1/s"
key = "one"
`, "")
	for _, o := range []struct{ key, name, account string }{
		{"a", "a", ""},
		{"a:x", "a", "x"},
		{"a:new", "a", "new"},
		{"of/z/b", "b", "z"},
		{"one", "ab", ""},
		{"ab", "", ""},
		{"other", "", ""},
		{"a:", "", ""},
		{"of//b", "", ""},
	} {
		name, account, ok := c.Owner(o.key)
		if name != o.name || account != o.account || ok != (o.name != "") {
			t.Errorf("%q is that of %q %q, %v; want %q %q", o.key, name, account, ok, o.name, o.account)
		}
	}
}
