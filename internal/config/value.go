package config

import (
	"fmt"
	"strconv"
	"time"
)

// What is in a file was checked, and a flag by itself, so that these have no error to tell: what can't be read counts as not said.

// Text returns the value of a field that has one text, "" if there is none.
func (e *Effective) Text(name string) string {
	if texts := e.Texts(name); len(texts) > 0 {
		return texts[0]
	}
	return ""
}

// Number returns the value of a field that is a whole number.
func (e *Effective) Number(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(e.Text(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// Truth returns the value of a field that is true or false; false if there is none.
func (e *Effective) Truth(name string) bool { return e.Text(name) == "true" }

// Duration returns the value of a field that is a time.
func (e *Effective) Duration(name string, otherwise time.Duration) time.Duration {
	d, err := time.ParseDuration(e.Text(name))
	if err != nil {
		return otherwise
	}
	return d
}

// Blocked says for people that nothing is granted to a limit, an account of it, or, where both are "", to a call without either, and
// which line of a file says so.
func Blocked(limit, account, file string, line int) string {
	what := "a call without --limit"
	if limit != "" {
		what = nameOf(limit, account)
	}
	return fmt.Sprintf("%s is blocked (%s:%d: limit = 0)", what, file, line)
}

// nameOf says which limit it is: limit ec2, account 1234.
func nameOf(limit, account string) string {
	switch {
	case limit == "":
		return "no limit"
	case account == "":
		return "limit " + quoteKey(limit)
	}
	return fmt.Sprintf("limit %s, account %s", quoteKey(limit), quoteKey(account))
}
