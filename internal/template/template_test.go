package template_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/template"
)

func line(s string) template.Values {
	return template.Values{Args: []string{s}, Line: &s, Seq: 7, Slot: 2}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		words []string
		v     template.Values
		want  []string
	}{
		{[]string{"echo"}, line("a  b"), []string{"echo", "a  b"}},
		{[]string{"echo", "x{}y{}", "{}"}, line("-rf $(id)"), []string{"echo", "x-rf $(id)y-rf $(id)", "-rf $(id)"}},
		{[]string{"{}", "{#}", "{%}", "{#}{%}"}, line("l"), []string{"l", "7", "2", "72"}},
		{[]string{"{#}"}, line("l"), []string{"7"}},
		{[]string{"{.}", "{/}", "{//}", "{/.}"}, line("a.d/b.c.e"), []string{"a.d/b.c", "b.c.e", "a.d", "b.c"}},
		{[]string{"{.}", "{/}", "{//}", "{/.}"}, line("/x"), []string{"/x", "x", "/", "x"}},
		{[]string{"{.}", "{/}", "{//}", "{/.}"}, line("a.b/"), []string{"a.b/", "", ".", ""}},
		{[]string{"{1}{1.}{1/}", "{-1//}"}, line("d/a.b"), []string{"d/a.bd/aa.b", "d"}},
		// Once, and never again: what is put in may look like a replacement string.
		{[]string{"{}", "{1}"}, line("{#}{}"), []string{"{#}{}", "{#}{}"}},
		// What is none stays.
		{[]string{"{", "{}}", "{{}", "{0}", "{x}", "{1..}", "${}", "{ }", "{+1}"}, line("l"), []string{"{", "l}", "{l", "{0}", "{x}", "{1..}", "$l", "{ }", "{+1}"}},
		{[]string{"{2}-{1}", "{-2}"}, template.Values{Args: []string{"a", "b"}, Line: new(string)}, []string{"b-a", "a"}},
		{[]string{"{}", "<{}>", "{/}"}, template.Values{Args: []string{"x/a", "b"}}, []string{"x/a", "b", "<x/a b>", "a", "b"}},
		{[]string{"echo"}, template.Values{Args: []string{"a", "b"}}, []string{"echo", "a", "b"}},
	} {
		if got := template.Parse(c.words, "{}").Expand(c.v); !slices.Equal(got, c.want) {
			t.Errorf("%q became %q, want %q", c.words, got, c.want)
		}
	}
	if got := template.Parse([]string{"@", "{}", "{#}"}, "@").Expand(line("l")); !slices.Equal(got, []string{"l", "{}", "7"}) {
		t.Errorf("with another string for the line: %q", got)
	}
}

func TestCheckNamesTheColumn(t *testing.T) {
	tmpl := template.Parse([]string{"{3} {-2}"}, "{}")
	if tmpl.First != 3 || tmpl.Last != 2 {
		t.Errorf("asks for columns %d and -%d", tmpl.First, tmpl.Last)
	}
	if err := tmpl.Check(3); err != nil {
		t.Error(err)
	}
	if err := tmpl.Check(2); err == nil || !strings.Contains(err.Error(), "{3}") {
		t.Error(err)
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("{}a{.}{//}{1/.}{-1}", "x/{}.y")
	f.Add("{{}}{#}{%}{22}", "")
	f.Fuzz(func(t *testing.T, word, text string) {
		tmpl := template.Parse([]string{word}, "{}")
		if tmpl.Check(1) != nil {
			return
		}
		got := tmpl.Expand(line(text))
		_, used := template.Used(word, "{}")
		switch {
		case used != tmpl.Used():
			t.Errorf("%q: Used says %v of the word and %v of the template", word, used, tmpl.Used())
		case !used && !slices.Equal(got, []string{word, text}):
			t.Errorf("%q, without a replacement string, became %q", word, got)
		case used && len(got) != 1:
			t.Errorf("%q became %d words", word, len(got))
		}
	})
}
