package redisstore

import (
	"testing"
)

// A text is replaced only by one who knows what it is.
func TestTexts(t *testing.T) {
	v, err := Connect(newServer(t).url(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close() //nolint:errcheck // nothing more to do with it
	replace := func(name, old, text string, want bool) {
		t.Helper()
		if ok, err := v.ReplaceText(t.Context(), Options{}, name, old, text); err != nil || ok != want {
			t.Errorf("%q in the place of %q: %v, %v", text, old, ok, err)
		}
	}
	texts := func(want ...Text) {
		t.Helper()
		all, err := v.Texts(t.Context(), Options{})
		if err != nil || len(all) != len(want) {
			t.Fatalf("%q, %v, want %q", all, err, want)
		}
		for i := range want {
			if all[i] != want[i] {
				t.Errorf("%q, want %q", all[i], want[i])
			}
		}
	}
	texts()
	replace("b", "", "1\n\x00", true)
	replace("b", "", "2", false)
	replace("a", "x", "2", false)
	replace("a", "", "2", true)
	texts(Text{"a", "2"}, Text{"b", "1\n\x00"})
	replace("b", "1\n\x00", "3", true)
	replace("a", "2", "", true)
	texts(Text{"b", "3"})
}
