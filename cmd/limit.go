package cmd

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/pacer"
)

// noBurst is the burst of those who say none.
const noBurst = -1

// limitOptions are the flags that say what the limit is.
type limitOptions struct {
	rates []string
	every string
	burst int64
}

func (o *limitOptions) addFlags(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.rates, "rate", "r", nil, "`N/UNIT` such as 50/s, 100/m, 2/10s, 1MiB/s, or inf")
	f.StringVar(&o.every, "every", "", "one each `INTERVAL` such as 100ms or 1.5s")
	f.StringVar(&o.every, "delay", "", "the same as --every")
	f.Int64Var(&o.burst, "burst", noBurst, "grant up to `N` at once after idle time; otherwise 1")
	_ = f.MarkHidden("delay")
}

// given reports whether a rate is.
func (o *limitOptions) given() bool { return len(o.rates) > 0 || o.every != "" }

// optional is limit where there may be none: then it returns the zero Limit.
func (o *limitOptions) optional() (pacer.Limit, pacer.Unit, error) {
	if !o.given() {
		if o.burst != noBurst {
			return pacer.Limit{}, pacer.Events, errors.New("--burst goes with a rate: throttle set changes it alone")
		}
		return pacer.Limit{}, pacer.Events, nil
	}
	return o.limit()
}

// limit returns the limit that the flags ask for, and what it counts.
func (o *limitOptions) limit() (pacer.Limit, pacer.Unit, error) {
	var l pacer.Limit
	unit := pacer.Events
	var err error
	switch {
	case len(o.rates) > 1:
		return l, unit, fmt.Errorf("--rate is given %d times: several limits at once are not supported yet, give one", len(o.rates))
	case len(o.rates) == 1 && o.every != "":
		return l, unit, errors.New("--rate and --every both say the rate: give one of them")
	case len(o.rates) == 1:
		l, unit, err = pacer.ParseRate(o.rates[0])
	case o.every != "":
		l, err = pacer.ParseEvery(o.every)
	default:
		return l, unit, errors.New("no rate is given: say --rate N/UNIT such as --rate 10/s, or --every 100ms, or --rate inf for no limit")
	}
	if err == nil {
		err = o.checkBurst()
	}
	if err != nil {
		return l, unit, err
	}
	return l.WithBurst(max(o.burst, 0)), unit, nil // 0 is 1
}

func (o *limitOptions) checkBurst() error {
	if o.burst < 1 && o.burst != noBurst {
		return fmt.Errorf("--burst %d: a burst is 1 or more", o.burst)
	}
	return nil
}
