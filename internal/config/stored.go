package config

import (
	"fmt"
	"slices"
	"strings"
)

// A Text is limits as a file has them, that are not kept in a file: a store has them for all who use it.
type Text struct {
	Name string // of the text in messages, as a file has its path
	Data []byte
}

// Of returns the Config of texts.
func Of(texts []Text, checks Checks) (*Config, error) { return (&Config{checks: checks}).With(texts) }

// With returns c with texts in front of its files, the nearest first. What is wrong in any of them is in the error, which is an Errors.
func (c *Config) With(texts []Text) (*Config, error) {
	with := *c
	with.files = nil
	var wrong Errors
	for _, t := range texts {
		f, problems := decode(t.Name, t.Data, c.checks)
		f.stored = true
		problems = append(problems, f.noStore()...)
		wrong = append(wrong, problems...)
		with.files = append(with.files, f)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	with.files = append(with.files, c.files...)
	return &with, nil
}

// noStore says where a text names a store: it is kept in one.
func (f *file) noStore() (wrong Errors) {
	all := []settings{f.defaults}
	for _, l := range f.limits {
		all = append(all, l.own)
		for _, a := range l.accounts {
			all = append(all, a.own)
		}
	}
	for _, own := range all {
		if s, ok := own[fieldStore]; ok {
			wrong = append(wrong, &Error{File: f.name, Line: s.line, Column: s.column, Text: "store: what a store keeps can't name another one"})
		}
	}
	return wrong
}

// Set returns the text with a field that has another value. Everything else in it stays as it is, comments included.
func (t Text) Set(e Entry, values []string, checks Checks) ([]byte, error) {
	f, err := e.checkSet(values, checks)
	if err != nil {
		return nil, err
	}
	return edit(t.Name, t.Data, e, checks, func(d *document) ([]byte, error) { return d.set(e, f.write(values)) })
}

// Unset returns the text without a field; without a field the account, or the limit with its accounts. That there is nothing to take
// out is an error.
func (t Text) Unset(e Entry, checks Checks) ([]byte, error) {
	if e.Field != "" {
		if _, err := e.check(); err != nil {
			return nil, err
		}
	}
	return edit(t.Name, t.Data, e, checks, func(d *document) ([]byte, error) { return d.unset(t.Name, e) })
}

// A Difference is how the limits of two texts differ: the names of those that are in one of them only, or are not the same in both,
// whatever their order and comments.
type Difference struct{ Added, Changed, Deleted []string }

// Compare returns what becomes of the limits in from when they are those in to. The defaults are a limit without a name.
func Compare(from, to Text, checks Checks) (d Difference, err error) {
	limits := func(t Text) (map[string]string, []string, error) {
		f, wrong := decode(t.Name, t.Data, checks)
		if wrong = append(wrong, f.noStore()...); len(wrong) > 0 {
			return nil, nil, wrong
		}
		all, names := make(map[string]string), []string{}
		add := func(name, text string) {
			all[name] = text
			names = append(names, name)
		}
		if len(f.defaults) > 0 {
			add("", f.defaults.text())
		}
		for _, l := range f.limits {
			text := l.own.text()
			for _, a := range slices.SortedFunc(slices.Values(l.accounts), func(a, b *account) int { return strings.Compare(a.name, b.name) }) {
				text += fmt.Sprintf("\n[%q]\n%s", a.name, a.own.text())
			}
			add(l.name, text)
		}
		return all, names, nil
	}
	was, before, err := limits(from)
	if err != nil {
		return d, err
	}
	is, names, err := limits(to)
	if err != nil {
		return d, err
	}
	for _, name := range names {
		switch text, ok := was[name]; {
		case !ok:
			d.Added = append(d.Added, name)
		case text != is[name]:
			d.Changed = append(d.Changed, name)
		}
	}
	for _, name := range before {
		if _, ok := is[name]; !ok {
			d.Deleted = append(d.Deleted, name)
		}
	}
	return d, nil
}

// text returns what is said, whatever the order.
func (s settings) text() string {
	var lines []string
	for name, v := range s {
		lines = append(lines, fmt.Sprintf("%s=%q", name, v.texts))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Owner returns the limit and the account that a key is that of, unless a call says otherwise.
func (c *Config) Owner(key string) (name, account string, ok bool) { return c.Owners()(key) }

// Owners returns Owner for many keys: all limits and accounts are looked at once.
func (c *Config) Owners() func(key string) (name, account string, ok bool) {
	keyOf := func(name, of string) string {
		e, err := c.Lookup(name, of, nil)
		if err != nil {
			return ""
		}
		return e.Text(fieldKey)
	}
	type owner struct{ name, account string }
	type part struct{ name, before, behind string }
	const anybody = "\x00"
	owners := map[string]owner{}
	var parts []part // of the keys of accounts that have nothing of their own: what stands before and behind the name of the account
	for _, name := range c.Limits() {
		for _, of := range append([]string{""}, c.Accounts(name)...) {
			if key := keyOf(name, of); owners[key].name == "" { // of several it is the first
				owners[key] = owner{name, of}
			}
		}
		if before, behind, found := strings.Cut(keyOf(name, anybody), anybody); found {
			parts = append(parts, part{name, before, behind})
		}
	}
	return func(key string) (name, account string, ok bool) {
		if o, ok := owners[key]; ok {
			return o.name, o.account, true
		}
		longest := -1
		for _, p := range parts {
			of, prefix := strings.CutPrefix(key, p.before)
			of, suffix := strings.CutSuffix(of, p.behind)
			if prefix && suffix && of != "" && len(p.before)+len(p.behind) > longest {
				name, account, longest = p.name, of, len(p.before)+len(p.behind)
				ok = true
			}
		}
		return name, account, ok
	}
}
