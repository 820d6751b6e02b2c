package byname

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/pacer"
)

// A Rate is what says how many there may be: texts as the flags of the same name take them, and as a file has them.
type Rate struct {
	Rates     []string // several hold at once
	Every     string   // the other way to say it
	Algorithm string   // of those that name none; "" is paced
	Burst     int64    // of the buckets among those that name none; 0 is that of the algorithm
}

var (
	errTwoRates = errors.New("rate and every both say the rate: give one of them")
	errUnits    = errors.New("one rate counts bytes and another one events: all have to count the same")
	errNotAlone = errors.New("a rate of inf says that there is no limit: give it alone")
)

// RateOf returns what holds of the rate.
func RateOf(e *config.Effective) Rate {
	return Rate{Rates: e.Texts("rate"), Every: e.Text("every"), Algorithm: e.Text("algorithm"), Burst: e.Number("burst", 0)}
}

// Limits returns the limits, and what they count; none if no rate is said. What one of the rates says of itself goes before the
// algorithm and the burst for all.
func (r Rate) Limits() (limits pacer.Limits, unit pacer.Unit, err error) {
	if r.Every != "" {
		if len(r.Rates) > 0 {
			return nil, 0, errTwoRates
		}
		l, err := pacer.ParseEvery(r.Every)
		if err != nil {
			return nil, 0, err
		}
		return r.complete(pacer.Limits{l}, []string{r.Every}, pacer.Events)
	}
	for i, text := range r.Rates {
		l, u, err := pacer.ParseLimit(text)
		switch {
		case err != nil:
			return nil, 0, err
		case i > 0 && u != unit:
			return nil, 0, errUnits
		}
		limits, unit = append(limits, l), u
	}
	return r.complete(limits, r.Rates, unit)
}

// complete gives limits, which the texts say, the algorithm and the burst that are said of all.
func (r Rate) complete(limits pacer.Limits, texts []string, unit pacer.Unit) (pacer.Limits, pacer.Unit, error) {
	if len(limits) == 0 {
		return nil, unit, nil
	}
	if len(limits) > 1 && slices.ContainsFunc(limits, pacer.Limit.IsUnlimited) {
		return nil, 0, errNotAlone
	}
	algorithm := pacer.Paced
	if r.Algorithm != "" {
		var err error
		if algorithm, err = pacer.ParseAlgorithm(r.Algorithm); err != nil {
			return nil, 0, err
		}
	}
	bucket := false
	for i := range limits {
		l := &limits[i]
		if l.IsUnlimited() {
			bucket = true // a burst does no harm
			continue
		}
		if !strings.Contains(texts[i], ",algorithm=") && !strings.Contains(texts[i], ",align=") {
			l.Algorithm = algorithm
		}
		if !l.Algorithm.IsWindow() {
			bucket = true
			if l.Burst == 0 {
				l.Burst = r.Burst
			}
		}
	}
	if r.Burst > 0 && !bucket {
		return nil, 0, &burstError{r.Burst, limits}
	}
	return limits, unit, limits.Validate()
}

// A burstError says that there is a burst for limits that are windows.
type burstError struct {
	burst  int64
	limits pacer.Limits
}

func (e *burstError) Error() string {
	return fmt.Sprintf("burst %d does not go with %v: all of a window may be granted at once, after idle time and otherwise", e.burst, e.limits)
}

// isOpen reports whether neither the algorithm nor the burst of the i-th limit is said.
func (r Rate) isOpen(i int) bool {
	return r.Algorithm == "" && r.Burst == 0 && (i >= len(r.Rates) || !strings.Contains(r.Rates[i], ","))
}

// IsOpen reports whether there is a limit of which neither the algorithm nor the burst is said.
func (r Rate) IsOpen() bool {
	for i := range r.Rates {
		if r.isOpen(i) {
			return true
		}
	}
	return r.Every != "" && r.isOpen(0)
}

// As returns limits, which are those of the rate, with what it does not say as it is stored: the algorithm and the burst of the limit
// with the same period, or of the only one.
func (r Rate) As(limits, stored pacer.Limits) pacer.Limits {
	limits = slices.Clone(limits)
	for i, l := range limits {
		for _, s := range stored {
			if r.isOpen(i) && (s.Per == l.Per || len(stored) == 1 && len(limits) == 1) && fits(l, s) {
				s.Events, s.Per = l.Events, l.Per
				limits[i] = s
				break
			}
		}
	}
	return limits
}

// fits reports whether a rate may have the algorithm of a limit: windows of a calendar have lengths of their own.
func fits(l, s pacer.Limit) bool {
	s.Events, s.Per = l.Events, l.Per
	return !l.IsUnlimited() && s.Validate() == nil
}

// Over returns limits that are stored with the algorithm and the burst that are said.
func (r Rate) Over(stored pacer.Limits) (pacer.Limits, error) {
	limits := slices.Clone(stored)
	if r.Algorithm != "" {
		a, err := pacer.ParseAlgorithm(r.Algorithm)
		if err != nil {
			return nil, err
		}
		for i, l := range limits { // what belongs to the old one goes with it
			limits[i] = pacer.Limit{Events: l.Events, Per: l.Per, Algorithm: a}
			if !a.IsWindow() && !l.Algorithm.IsWindow() {
				limits[i].Burst = l.Burst
			}
		}
	}
	if r.Burst > 0 {
		taken := false
		for i, l := range limits {
			if !l.Algorithm.IsWindow() {
				limits[i], taken = l.WithBurst(r.Burst), true
			}
		}
		if !taken {
			return nil, &burstError{r.Burst, limits}
		}
	}
	return limits, limits.Validate()
}
