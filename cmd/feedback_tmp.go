package cmd

import (
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

type pacerFeedback struct {
	After, Backoff, Most time.Duration
	Adaptive             bool
}
type pacerCooldown struct {
	Until  time.Time
	Length time.Duration
	New    bool
	Rate   pacer.Limit
}
