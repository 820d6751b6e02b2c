package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/pacer"
)

// noBurst is the burst of those who say none.
const noBurst = -1

// limitOptions are the flags that say what the limits are.
type limitOptions struct {
	rates     []string
	every     string
	algorithm string
	burst     int64
	here      func(flag string) bool // whether it was on the command line
	stored    func() bool            // whether the store has it
}

func (o *limitOptions) addFlags(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.rates, "rate", "r", nil, "`N/UNIT` such as 50/s, 2/10s, 1MiB/s, inf; several: all hold")
	f.StringVar(&o.every, "every", "", "one each `INTERVAL` such as 100ms or 1.5s")
	f.StringVar(&o.every, "delay", "", "the same as --every")
	f.StringVar(&o.algorithm, "algorithm", "", "`HOW`: paced, token-bucket, sliding-window, fixed-window")
	f.Int64Var(&o.burst, "burst", noBurst, "grant up to `N` at once after idle time")
	_ = f.MarkHidden("delay")
	o.here = func(flag string) bool { return givenHere(f, flag) }
	o.stored = func() bool {
		return slices.ContainsFunc([]string{"rate", "every", "delay"}, func(flag string) bool { return f.Lookup(flag).Annotations[fromTable] != nil })
	}
}

// given reports whether a rate is.
func (o *limitOptions) given() bool { return len(o.rates) > 0 || o.every != "" }

// only forgets what was not on the command line, where that says what to do without a rate: the environment, and a file, have one for
// those who say nothing.
func (o *limitOptions) only() {
	if slices.ContainsFunc([]string{"rate", "every", "delay"}, o.here) {
		return
	}
	o.rates, o.every = nil, ""
	if !o.here("algorithm") {
		o.algorithm = ""
	}
	if !o.here("burst") {
		o.burst = noBurst
	}
}

// optional is limits where there may be none.
func (o *limitOptions) optional() (wanted, error) {
	if o.given() {
		return o.limits()
	}
	switch { // the environment, and the defaults of a file, have them for those who give a rate
	case o.burst != noBurst && o.here("burst"):
		return wanted{}, errors.New("--burst goes with a rate: throttle set changes it alone")
	case o.algorithm != "" && o.here("algorithm"):
		return wanted{}, errors.New("--algorithm goes with a rate")
	}
	return wanted{}, nil
}

// wanted is what the flags ask for.
type wanted struct {
	limits pacer.Limits // nil where none is given
	unit   pacer.Unit
	rate   byname.Rate // what they were made of
	adopts bool        // they are only for a key that has none: who changes them in the store changes the key, too
}

// limits returns the limits that the flags ask for.
func (o *limitOptions) limits() (w wanted, err error) {
	switch {
	case len(o.rates) > 0 && o.every != "":
		return w, errors.New("--rate and --every both say the rate: give one of them; for several limits at once give several --rate")
	case !o.given():
		return w, errors.New("no rate is given: say --rate N/UNIT such as --rate 10/s, or --every 100ms, or --rate inf for no limit")
	}
	if err := o.checkBurst(); err != nil {
		return w, err
	}
	w.rate, w.adopts = o.rate(), o.stored()
	w.limits, w.unit, err = w.rate.Limits()
	return w, err
}

// splitRates returns the rates of a variable one by one: it has them with spaces between.
func splitRates(text string) []string {
	fields := strings.Fields(text)
	if slices.ContainsFunc(fields, func(f string) bool { return !strings.Contains(f, "/") }) {
		return []string{text} // 10 / s
	}
	return fields
}

func (o *limitOptions) checkBurst() error {
	if o.burst < 1 && o.burst != noBurst {
		return fmt.Errorf("--burst %d: a burst is 1 or more", o.burst)
	}
	return nil
}

// rate returns what the flags say of it.
func (o *limitOptions) rate() byname.Rate {
	return byname.Rate{Rates: o.rates, Every: o.every, Algorithm: o.algorithm, Burst: max(o.burst, 0)}
}

// isOpen reports whether something is left open.
func (w wanted) isOpen() bool { return w.adopts || w.rate.IsOpen() }

// as leaves what is not given as it is stored.
func (w wanted) as(stored pacer.Limits) pacer.Limits {
	if w.adopts && stored != nil {
		return stored
	}
	return w.rate.As(w.limits, stored)
}

// over returns limits that are stored with the algorithm and the burst that are given.
func (o *limitOptions) over(stored pacer.Limits) (pacer.Limits, error) { return o.rate().Over(stored) }
