package byname

import (
	"errors"
	"fmt"

	"github.com/throttle-cli/throttle/internal/config"
)

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
