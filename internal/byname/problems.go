package byname

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/throttle-cli/throttle/internal/config"
)

// Anybody is an account of which no file has anything, so that it has what the limit has. Without one a key could not be made.
const Anybody = "\x00"

// Problems returns what is wrong with limits whose parts are right one by one: with each limit and account, and with a call without
// a limit, as it holds without flags. For each place one is told.
func Problems(c *config.Config) []error {
	p := problems{seen: make(map[config.Error]bool)}
	p.add(problem(c, "", ""))
	for _, name := range c.Limits() {
		for _, account := range append([]string{Anybody}, c.Accounts(name)...) {
			p.add(problem(c, name, account))
		}
	}
	return p.errs
}

// problems are errors, one for each place.
type problems struct {
	errs []error
	seen map[config.Error]bool
}

func (p *problems) add(err error) {
	var at *config.Error
	if errors.As(err, &at) {
		place := config.Error{File: at.File, Line: at.Line, Column: at.Column}
		if p.seen[place] {
			return
		}
		p.seen[place] = true
	}
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

func problem(c *config.Config, name, account string) error {
	e, err := c.Lookup(name, account, nil)
	if err != nil {
		return err
	}
	limits, _, err := RateOf(e).Limits()
	switch {
	case errors.As(err, new(*burstError)):
		return at(e, err, "burst")
	case err != nil:
		return at(e, err, "rate", "every")
	case len(limits) == 0 || e.Truth("debt"):
		return nil
	}
	if err := limits.CheckCost(e.Number("cost", 1), false); err != nil {
		return at(e, fmt.Errorf("%w: give it a burst, or debt = true", err), "cost")
	}
	return nil
}

// at gives an error the place of the first of the fields that a file has.
func at(e *config.Effective, err error, fields ...string) error {
	for _, field := range fields {
		if v, _ := e.Value(field); v.Origin.File != "" {
			return &config.Error{File: v.Origin.File, Line: v.Origin.Line, Column: v.Origin.Column, Text: err.Error()}
		}
	}
	return err
}

// QueueProblems returns what is wrong with limits that share a key, for those who have one queue for it: that they do not say the same of
// debt, or of how many may wait. On the command line each call has its own.
func QueueProblems(c *config.Config) []error {
	p := problems{seen: make(map[config.Error]bool)}
	first := make(map[string]*config.Effective) // by key
	check := func(e *config.Effective, key string) {
		of := first[key]
		if of == nil {
			first[key] = e
			return
		}
		for _, field := range []string{"debt", "max_queue"} {
			if saidOf(e, field) == saidOf(of, field) {
				continue
			}
			err := fmt.Errorf("%s has %s and %s %s, and the key of both is %q: who waits for it waits in one queue",
				nameOf(e), saidOf(e, field), nameOf(of), saidOf(of, field), strings.ReplaceAll(key, Anybody, "{account}"))
			if _, ok := e.Value(field); ok {
				of = e
			}
			p.add(at(of, err, field))
		}
	}
	var others []*config.Effective // what the accounts of a limit have that have nothing of their own
	known := make(map[string]bool)
	for _, name := range c.Limits() {
		for _, account := range append([]string{"", Anybody}, c.Accounts(name)...) {
			e, err := c.Lookup(name, account, nil)
			if err != nil || e.Blocked { // a key that needs an account has none without it
				continue
			}
			check(e, e.Text("key"))
			switch account {
			case "":
			case Anybody:
				others = append(others, e)
			default:
				known[account] = true
			}
		}
	}
	accounts := slices.Sorted(maps.Keys(known))
	for _, e := range others {
		own := make(map[string]bool)
		for _, account := range c.Accounts(e.Limit) {
			own[account] = true
		}
		for _, account := range accounts {
			if key := e.Text("key"); strings.Contains(key, Anybody) && !own[account] {
				check(e, strings.ReplaceAll(key, Anybody, account))
			}
		}
	}
	return p.errs
}

// saidOf returns what is said of debt, or of how many may wait.
func saidOf(e *config.Effective, field string) string {
	if field == "debt" {
		return fmt.Sprintf("debt = %t", e.Truth(field))
	}
	if n := e.Number(field, -1); n >= 0 {
		return fmt.Sprintf("%s = %d", field, n)
	}
	return "no " + field
}

// nameOf returns the name of a limit, and of an account that it has.
func nameOf(e *config.Effective) string {
	if e.Account == Anybody {
		e = &config.Effective{Limit: e.Limit}
	}
	return e.String()
}
