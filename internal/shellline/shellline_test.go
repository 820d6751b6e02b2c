package shellline_test

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/shellline"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                        {},
		"  \t":                    {},
		"# all comment":           {},
		"a b # c":                 {"a", "b"},
		"a#b '#c'":                {"a#b", "#c"},
		`it\'s "a b" 'c  d' e""f`: {"it's", "a b", "c  d", "ef"},
		`'' ""`:                   {"", ""},
		`sed "s/\./x/" \n\t`:      {"sed", `s/\./x/`, "nt"},
		`"\$ \" \\n" 'a\n'`:       {`$ " \n`, `a\n`},
		"cost 5$ \"7$\" a=b":      {"cost", "5$", "7$", "a=b"},
		"a\xff \xfe'\xc3'":        {"a\xff", "\xfe\xc3"},
		"ls *.txt ~ {a,b}\r":      {"ls", "*.txt", "~", "{a,b}"},
	} {
		got, err := shellline.Split(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is split into %q, %v; want %q", line, got, err, want)
		}
	}
}

func TestSplitSaysWhereAndWhy(t *testing.T) {
	for line, want := range map[string]struct {
		column int
		text   string
	}{
		`echo 'a b`:       {6, "the quote ' is not closed"},
		`é "a\" b`:        {3, `the quote " is not closed`},
		"a | b":           {3, `operator '|'`},
		"curl x?a=1&b":    {11, `operator '&'`},
		"a >out":          {3, `operator '>'`},
		"a; b":            {2, `operator ';'`},
		"(a)":             {1, `operator '('`},
		"echo $HOME/x":    {6, `"$HOME" is expanded`},
		"echo \"${a}\"":   {7, `"${" is expanded`},
		"echo $(id)":      {6, `"$(" is expanded`},
		"echo `id`":       {6, "\"`id\" is expanded"},
		"A=1 cmd":         {1, `assignment "A="`},
		`a \`:             {3, "nothing follows"},
		`echo "\`:         {6, "not closed"},
		"echo $'a' x | y": {6, "expanded"},
	} {
		_, err := shellline.Split(line)
		var e *shellline.Error
		if !errors.As(err, &e) || e.Column != want.column || !strings.Contains(e.Text, want.text) {
			t.Errorf("%q: %v; want column %d, %s", line, err, want.column, want.text)
		}
	}
}

// What is split without an error, sh splits alike; and what is quoted, sh and Split read as it was.
func TestAsTheShellDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const alphabet = "ab \t'\"\\\\#$=n-é\xff"
	var lines, scripts []string
	for len(lines) < 2000 {
		var b strings.Builder
		for range rng.IntN(16) {
			b.WriteByte(alphabet[rng.IntN(len(alphabet))])
		}
		line := "x " + b.String()
		words, err := shellline.Split(line)
		if err != nil {
			continue
		}
		again, err := shellline.Split(shellline.Quote(words))
		if err != nil || !slices.Equal(again, words) {
			t.Fatalf("%q is quoted as %q, which is %q, %v", words, shellline.Quote(words), again, err)
		}
		lines = append(lines, line)
		scripts = append(scripts, "p "+line, "p "+shellline.Quote(words))
	}
	out, err := exec.Command("sh", "-fc", "p() { printf '%s\\0' \"$@\"; printf '\\n\\0'; }\n"+strings.Join(scripts, "\n")).Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(string(out), "\n\x00")
	for i, line := range lines {
		words, _ := shellline.Split(line)
		want := strings.Join(words, "\x00") + "\x00"
		if answers[2*i] != want || answers[2*i+1] != want {
			t.Fatalf("%q is split into %q; sh says %q, and %q when it is quoted", line, want, answers[2*i], answers[2*i+1])
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"a b", `'a' "b\"c" \d # e`, "a | b", "A=1 x", "$HOME `id` ${x} $(y)", "é\xff \r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\n\r") {
			return
		}
		words, err := shellline.Split(line)
		if err != nil {
			return
		}
		again, err := shellline.Split(shellline.Quote(words))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("%q is split into %q, quoted as %q, and that is split into %q, %v", line, words, shellline.Quote(words), again, err)
		}
	})
}
