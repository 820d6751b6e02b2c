//go:build linux || darwin

package lockfile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// One who does not know the time zone of a limit has an error that names it, and leaves the state as it is, for those who know it.
func TestATimeZoneThatIsNotKnownHere(t *testing.T) {
	limits := pacer.Limits{pacer.Per(5, 24*time.Hour).Aligned(pacer.AtDay, "Mars/Olympus"), pacer.Every(minute)}
	h, path := newHost(), statePath(t)
	h.open(t, path, perMinute()).grants()
	st := newState([16]byte{h.boot})
	st.setLimits(int64(h.now), limits)
	st.alg.SetPaused(int64(h.now), true)
	st.grants = 7
	write(t, path, newPage("", &st, 6, 0))

	u := h.open(t, path, perMinute())
	before := u.bytes()
	_, _, tryErr := u.Try(t.Context(), 1)
	_, reserveErr := u.Reserve(t.Context(), 1)
	for call, err := range map[string]error{
		"Wait": u.Wait(t.Context()), "Try": tryErr, "Reserve": reserveErr, "SetPaused": u.SetPaused(t.Context(), false),
		"SetLimit": u.SetLimit(t.Context(), pacer.Every(minute)), "Reset": u.Reset(t.Context()), "SetCooldown": u.SetCooldown(context.Background(), minute),
	} {
		var at *fs.PathError
		if !errors.As(err, &at) || at.Path != path || !strings.Contains(err.Error(), `zone "Mars/Olympus" is not known here`) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if !bytes.Equal(u.bytes(), before) {
		t.Error("the state has changed")
	}
	s, err := u.Status()
	if err != nil || !s.Limits.Equal(limits) || !s.Paused || s.Grants != 7 || !s.Next.IsZero() || !strings.Contains(s.Damage, "Mars/Olympus") {
		t.Errorf("%+v, %v", s, err)
	}
	u.warned()
}
