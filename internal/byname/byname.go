// Package byname says what the texts in throttle.toml mean: it is where config, which knows no rates, meets pacer, which knows no
// files. The command line and the library go by it.
package byname

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/internal/preset"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// Checks returns what is right in a file.
func Checks() config.Checks {
	return config.Checks{
		Rate: func(text string) error {
			_, _, err := pacer.ParseLimit(text)
			return err
		},
		Every: func(text string) error {
			_, err := pacer.ParseEvery(text)
			return err
		},
		Algorithm: func(text string) error {
			_, err := pacer.ParseAlgorithm(text)
			return err
		},
		Preset: func(text string) error {
			_, err := preset.Lookup(text)
			return err
		},
		Store:       checkStore,
		RateOptions: []string{"align", "zone"},
	}
}

// checkStore accepts what --store does.
func checkStore(text string) error {
	_, err := store.Parse(text)
	return err
}

// Load reads the files: the one that is named, or the usual ones.
func Load(name string) (*config.Config, error) {
	return config.Load(config.Options{File: name, Getenv: os.Getenv, Checks: Checks()})
}

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
		return nil, 0, fmt.Errorf("burst %d does not go with %v: all of a window may be granted at once, after idle time and otherwise", r.Burst, limits)
	}
	return limits, unit, limits.Validate()
}

// RateOf returns what holds of the rate.
func RateOf(e *config.Effective) Rate {
	return Rate{Rates: e.Texts("rate"), Every: e.Text("every"), Algorithm: e.Text("algorithm"), Burst: e.Number("burst", 0)}
}

// Problems returns what is wrong with limits whose parts are right one by one: with each limit and account as it holds without
// flags. For each place one is told.
func Problems(c *config.Config) []error {
	var problems []error
	seen := make(map[config.Error]bool)
	for _, name := range c.Limits() {
		for _, account := range append([]string{Anybody}, c.Accounts(name)...) {
			err := problem(c, name, account)
			var at *config.Error
			if err == nil || errors.As(err, &at) && seen[config.Error{File: at.File, Line: at.Line, Column: at.Column}] {
				continue
			}
			if at != nil {
				seen[config.Error{File: at.File, Line: at.Line, Column: at.Column}] = true
			}
			problems = append(problems, err)
		}
	}
	return problems
}

// Anybody is an account of which no file has anything, so that it has what the limit has. Without one a key could not be made.
const Anybody = "\x00"

func problem(c *config.Config, name, account string) error {
	e, err := c.Lookup(name, account, nil)
	if err != nil {
		return err
	}
	limits, _, err := RateOf(e).Limits()
	about := []string{"burst", "algorithm", "rate", "every"}
	if cost := e.Number("cost", 1); err == nil && len(limits) > 0 && !e.Truth("debt") {
		if err = limits.CheckCost(cost, false); err != nil {
			err = fmt.Errorf("%w: give it a burst, or debt = true", err)
			about = []string{"cost"}
		}
	}
	if err == nil {
		return nil
	}
	for _, field := range about {
		if v, ok := e.Value(field); ok {
			return &config.Error{File: v.Origin.File, Line: v.Origin.Line, Column: v.Origin.Column, Text: err.Error()}
		}
	}
	return err
}
