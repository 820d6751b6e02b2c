package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// A tableStore keeps texts, and has keys of which some can't be read.
type tableStore struct {
	store.Store
	texts []store.Text
	keys  map[string]error
}

func (*tableStore) String() string { return "redis://test:6379/0" }

func (*tableStore) All(context.Context) ([]store.State, error) { return nil, nil }

func (s *tableStore) Status(_ context.Context, key string) (store.State, error) {
	return store.State{Status: pacer.Status{Key: key}}, s.keys[key]
}

func (s *tableStore) Texts(context.Context) ([]store.Text, error) { return s.texts, nil }

func (s *tableStore) ReplaceText(_ context.Context, name, old, text string) error {
	for i, t := range s.texts {
		if t.Name == name && t.Text == old {
			s.texts[i].Text = text
			return nil
		}
	}
	return store.ErrChanged
}

// What a store has may be wrong: written by hand, or by a newer version. It can be replaced.
func TestLoadOverWhatIsWrong(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	s := &tableStore{texts: []store.Text{{Name: "web", Text: "no limits ["}}}
	o := &loadOptions{service: "web"}
	o.config.table = &limitsTable{}
	o.store = storeOptions{url: "redis://test", timeout: storeTimeout, opened: &openStores{byURL: map[string]store.Store{"redis://test": s}}}
	file := filepath.Join(t.TempDir(), "limits.toml")
	const right = "[limits.a]\nrate = \"1/s\"\n"
	if err := os.WriteFile(file, []byte(right), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	if err := runLimitsLoad(t.Context(), o, file, streams{out: &out, err: &log, log: newLogger(&log)}); err != nil {
		t.Fatal(err)
	}
	if s.texts[0].Text != right || out.String() != "added\ta\n" || !strings.Contains(log.String(), "service web:1:4") {
		t.Errorf("the store has %q; it said %q and %q", s.texts[0].Text, out.String(), log.String())
	}
}

// One key that can't be read is no reason to show none.
func TestStatesOfOneThatIsWrong(t *testing.T) {
	odd := errors.New("odd")
	s := &tableStore{keys: map[string]error{"b": odd, "gone": store.ErrNoState}}
	all, err := statesOf(t.Context(), s, []string{"a", "b", "gone", "c"})
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	for i, want := range []struct {
		key string
		err error
	}{{"a", nil}, {"b", odd}, {"c", nil}} {
		if all[i].Key != want.key || !errors.Is(all[i].Err, want.err) {
			t.Errorf("%+v, want %v", all[i], want)
		}
	}
}
