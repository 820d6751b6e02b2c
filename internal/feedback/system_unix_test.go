//go:build unix

package feedback_test

import (
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/feedback"
)

func TestThereAreNoExitCodesAbove255(t *testing.T) {
	for _, s := range []string{"exit=256", "exit=300", "exit=1-300", "exit=300-", "exit=1,70000"} {
		_, err := feedback.Parse(s)
		if err == nil || !strings.Contains(err.Error(), "is no exit code: they are 1 to 255\nit is exit=LIST such as ") {
			t.Errorf("%q: %v", s, err)
		}
	}
}
