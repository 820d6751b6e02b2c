package nearest_test

import (
	"testing"

	"github.com/throttle-cli/throttle/internal/nearest"
)

func TestOf(t *testing.T) {
	names := []string{"rate", "burst", "max_wait", "aws", "kubectl"}
	for name, want := range map[string]string{
		"brust": "burst", "Rates": "rate", "max-wait": "max_wait", "maxwait": "max_wait", "max": "max_wait", "awscli": "aws", "kubctl": "kubectl",
		"colour": "", "x": "", "": "", "a": "", "zzz": "",
	} {
		if got := nearest.Of(name, names); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
