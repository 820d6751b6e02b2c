package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/throttle-cli/throttle/internal/secret"
)

// String says which it is: limit ec2, account 1234.
func (e *Effective) String() string { return nameOf(e.Limit, e.Account) }

// Write writes what holds, a line for each field with its value and where that is from, for people.
func (e *Effective) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(e.String())
	if e.Account != "" && !e.Known {
		b.WriteString(", of which the file has nothing")
	}
	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range e.Values {
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Field, v.show(), v.Origin)
		for _, o := range v.Overruled {
			_, _ = fmt.Fprintf(t, "    not\t%s\t%s\n", o.named(v.Field), o.Origin)
		}
	}
	_ = t.Flush() // a strings.Builder takes all
	if e.Blocked {
		v, _ := e.Value(fieldLimit)
		fmt.Fprintf(&b, "blocked: nothing is granted (%s)\n", v.Origin)
	}
	for _, o := range e.hidden {
		fmt.Fprintf(&b, "not in force: %s, since a nearer file has a limit of that name\n", o)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// show returns the value in one line.
func (s Said) show() string {
	text := secret.Hide(strings.Join(s.Texts, " and "))
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return quoteText(text)
	}
	return text
}

// named says which field it is, if that's another one.
func (s Said) named(field string) string {
	if s.Field == field {
		return s.show()
	}
	return s.Field + " " + s.show()
}

type jsonEffective struct {
	Limit   string      `json:"limit,omitempty"`
	Account string      `json:"account,omitempty"`
	Known   bool        `json:"account_known"`
	Blocked bool        `json:"blocked"`
	Values  []jsonValue `json:"values"`
	Hidden  []jsonSaid  `json:"not_in_force"`
}

type jsonValue struct {
	jsonSaid
	Overruled []jsonSaid `json:"overruled"`
}

type jsonSaid struct {
	Field   string `json:"field,omitempty"`
	Value   any    `json:"value,omitempty"`
	From    string `json:"from"`
	Limit   string `json:"limit,omitempty"`
	Account string `json:"account,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Flag    string `json:"flag,omitempty"`
	Env     string `json:"env,omitempty"`
}

// WriteJSON writes what holds as a JSON object:
//
//	limit, account   texts, as looked up; absent if not given
//	account_known    whether the limit has an entry for the account
//	blocked          whether nothing is granted
//	values           for each field that has a value: {"field": "burst", "value": 5, "from": ...}. The value of rate is an
//	                 array of texts, that of other fields a text, a number or a boolean, as in a file.
//	  from           "account", "limit", "flag", "defaults" or "built in"
//	  limit, account, file, line, column    of the entry; absent if not from a file
//	  flag, env      "--burst" and the environment variable; absent if not from there
//	  overruled      what is not in force since this is, the nearest first: objects like this one
//	not_in_force     limits of the same name in farther files: {"from": "limit", "limit": ..., "file": ...}
func (e *Effective) WriteJSON(w io.Writer) error {
	out := jsonEffective{
		Limit: e.Limit, Account: e.Account, Known: e.Known, Blocked: e.Blocked,
		Values: make([]jsonValue, len(e.Values)), Hidden: make([]jsonSaid, len(e.hidden)),
	}
	for i, v := range e.Values {
		out.Values[i] = jsonValue{jsonOf(v.Said), make([]jsonSaid, len(v.Overruled))}
		for j, o := range v.Overruled {
			out.Values[i].Overruled[j] = jsonOf(o)
		}
	}
	for i, o := range e.hidden {
		out.Hidden[i] = jsonOf(Said{Origin: o})
	}
	return encode(w, out)
}

func jsonOf(s Said) jsonSaid {
	o := s.Origin
	return jsonSaid{
		Field: s.Field, Value: s.value(), From: o.Level.String(), Limit: o.Limit, Account: o.Account,
		File: o.File, Line: o.Line, Column: o.Column, Flag: o.Flag, Env: o.Env,
	}
}

// value returns the value as what it is in a file.
func (s Said) value() any {
	f, _ := fieldOf(s.Field)
	switch {
	case len(s.Texts) == 0:
		return nil
	case f.kind == ofRates:
		return s.Texts
	case f.kind == ofCount || f.kind == ofBlock:
		if n, err := strconv.ParseInt(s.Texts[0], 10, 64); err == nil {
			return n
		}
	case f.kind == ofBoolean:
		if b, err := strconv.ParseBool(s.Texts[0]); err == nil {
			return b
		}
	}
	return secret.Hide(s.Texts[0])
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// WriteList writes a table of the limits in force: name, rate, number of accounts that have their own, and where it is.
func (c *Config) WriteList(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range c.Limits() {
		l, f := c.limit(name)
		accounts := ""
		if n := len(l.accounts); n == 1 {
			accounts = "1 account"
		} else if n > 1 {
			accounts = fmt.Sprintf("%d accounts", n)
		}
		if _, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s:%d\n", quoteKey(name), l.own.rate(), accounts, f.name, l.line); err != nil {
			return err
		}
	}
	return t.Flush()
}

// rate says what the rate is.
func (s settings) rate() string {
	if s, ok := s[fieldLimit]; ok {
		return "blocked (limit = " + s.texts[0] + ")"
	}
	if s, ok := s[fieldEvery]; ok {
		return "every " + s.texts[0]
	}
	return strings.Join(s[fieldRate].texts, " and ")
}

type jsonLimit struct {
	Name     string           `json:"name"`
	File     string           `json:"file"`
	Line     int              `json:"line"`
	Fields   map[string]any   `json:"fields"`
	Accounts []jsonOfAccounts `json:"accounts"`
}

type jsonOfAccounts struct {
	Name   string         `json:"name"`
	Line   int            `json:"line"`
	Fields map[string]any `json:"fields"`
}

// WriteListJSON writes the limits in force as a JSON array of objects:
//
//	name, file, line   of the limit
//	fields             its own, by name, as in Effective.WriteJSON
//	accounts           those that have their own: {"name": ..., "line": ..., "fields": {...}}
func (c *Config) WriteListJSON(w io.Writer) error {
	out := []jsonLimit{}
	for _, name := range c.Limits() {
		l, f := c.limit(name)
		j := jsonLimit{Name: name, File: f.name, Line: l.line, Fields: l.own.values(), Accounts: []jsonOfAccounts{}}
		for _, a := range l.accounts {
			j.Accounts = append(j.Accounts, jsonOfAccounts{a.name, a.line, a.own.values()})
		}
		out = append(out, j)
	}
	return encode(w, out)
}

func (s settings) values() map[string]any {
	values := make(map[string]any, len(s))
	for name, v := range s {
		values[name] = Said{Field: name, Texts: v.texts}.value()
	}
	return values
}
