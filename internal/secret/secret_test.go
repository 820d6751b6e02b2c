package secret

import (
	"strings"
	"testing"
)

func TestHide(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"file", "file"},
		{"redis://host:6379/0", "redis://host:6379/0"},
		{"redis://user@host:6379/0", "redis://user@host:6379/0"},
		{"redis://user:pw@host:6379/0?db=1", "redis://user:***@host:6379/0?db=1"},
		{"redis://:pw@host", "redis://:***@host"},
		{"redis://user:p/w@w@host/0", "redis://user:***@host/0"},
		{"redis+sentinel://u:pw@a:1,b:2/m/0?sentinel_password=pw&x=y", "redis+sentinel://u:***@a:1,b:2/m/0?sentinel_password=***&x=y"},
		{"dynamodb://t?secret_key=pw#pw", "dynamodb://t?secret_key=***#pw"},
		{"redis://host/a@b", "redis://host/a@b"},
	} {
		if got := Hide(c.text); got != c.want {
			t.Errorf("%s is shown as %s, want %s", c.text, got, c.want)
		}
	}
}

func FuzzHide(f *testing.F) {
	f.Add("user", "/0?a=b")
	f.Fuzz(func(t *testing.T, user, rest string) {
		const password = "Xq7%pW"
		if strings.ContainsAny(user, ":@") || strings.Contains(rest, "@") {
			t.Skip("it says otherwise which part is the password")
		}
		if got := Hide("redis://" + user + ":" + password + "@host" + rest); strings.Contains(got, password) {
			t.Errorf("%s tells the password", got)
		}
	})
}
