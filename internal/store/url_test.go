package store

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want Place
	}{
		{"file", Place{Scheme: "file", URL: "file:"}},
		{"file:", Place{Scheme: "file", URL: "file:"}},
		{"file:///a/b%20c", Place{Scheme: "file", URL: "file:///a/b%20c", Path: "/a/b c"}},
		{"file:/a", Place{Scheme: "file", URL: "file:/a", Path: "/a"}},
		{"file:a/b", Place{Scheme: "file", URL: "file:a/b", Path: "a/b"}},
		{"file:a%20b", Place{Scheme: "file", URL: "file:a%20b", Path: "a b"}},
		{"memory:", Place{Scheme: "memory", URL: "memory:"}},
		{"redis://u:p@h:1/2", Place{Scheme: "redis", URL: "redis://u:p@h:1/2"}},
		{"redis://h?heartbeat=3s&db=2&keep=1h", Place{Scheme: "redis", URL: "redis://h?db=2", Heartbeat: 3 * time.Second, Keep: time.Hour}},
		{"dynamodb://t?heartbeat=20s", Place{Scheme: "dynamodb", URL: "dynamodb://t", Heartbeat: 20 * time.Second}},
	} {
		if p, err := Parse(c.text); err != nil || p != c.want {
			t.Errorf("%s is %+v, %v; want %+v", c.text, p, err, c.want)
		}
	}
}

// What is wrong is named, and a password is not.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "it is a URL"},
		{"redis", "it is a URL"},
		{"rediss3://u:secret@h", `there is no store "rediss3": did you mean "redis`},
		{"postgres://u:secret@h", `there is no store "postgres": it is a URL`},
		{"memory:secret", "nothing follows"},
		{"file://host/a", "three slashes"},
		{"file:///a?b=c", "no options"},
		{"redis://u:secret@h?heartbeat=x", "heartbeat=x: it is a duration of 1s or more, such as 10s"},
		{"redis://u:secret@h?heartbeat=1ms", "heartbeat=1ms"},
		{"redis://u:secret@h?%zz", "option=value"},
	} {
		_, err := Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		} else if strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v tells the password", c.text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("redis://h?heartbeat=3s")
	f.Add("file:///a")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := Parse(text); err == nil {
			if again, err := Parse(p.URL); err != nil || again.Scheme != p.Scheme || again.Path != p.Path {
				t.Errorf("%q is %+v, and %q is %+v, %v", text, p, p.URL, again, err)
			}
		}
	})
}
