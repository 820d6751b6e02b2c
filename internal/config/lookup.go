package config

import (
	"fmt"
	"maps"
	"strings"
)

// Given is a flag that was given, as it stands on the command line or in the environment.
type Given struct {
	Texts []string
	// Env is the name of the environment variable that it is from; "" for the command line.
	Env string
}

// A Level is who says a value. The first that has one wins.
type Level int

// The levels, in the order in which they are asked.
const (
	Account  Level = iota // the account that was looked up
	Limit                 // the limit
	Flag                  // a flag, or an environment variable
	Defaults              // the defaults in a file
	BuiltIn               // nobody
)

func (l Level) String() string {
	return [...]string{"account", "limit", "flag", "defaults", "built in"}[l]
}

// An Origin is where a value is from.
type Origin struct {
	Level          Level
	Limit, Account string // for Account and Limit
	File           string // for Account, Limit and Defaults
	Line, Column   int    // likewise
	Stored         bool   // whether File is the name of a Text
	Flag           string // for Flag: --burst
	Env            string // for Flag, if it's from there: THROTTLE_BURST
}

// String says it for people: account 1234 of limit ec2, throttle.toml:12.
func (o Origin) String() string {
	switch o.Level {
	case Account:
		return fmt.Sprintf("account %s of limit %s, %s:%d", quoteKey(o.Account), quoteKey(o.Limit), o.File, o.Line)
	case Limit:
		return fmt.Sprintf("limit %s, %s:%d", quoteKey(o.Limit), o.File, o.Line)
	case Flag:
		if o.Env != "" {
			return "environment variable " + o.Env
		}
		return "flag " + o.Flag
	case Defaults:
		return fmt.Sprintf("defaults, %s:%d", o.File, o.Line)
	case BuiltIn:
	}
	return "built in"
}

// Said is a value, and who says it.
type Said struct {
	Field string
	// Texts are the value as the flag takes it: one, but for rate, of which there may be several.
	Texts  []string
	Origin Origin
}

// A Value is that of a field, and what it overrules, the nearest first.
type Value struct {
	Said
	Overruled []Said
}

// Effective is what holds for a limit and an account.
type Effective struct {
	Limit, Account string // as they were looked up
	// Known is whether the limit has an entry for the account.
	Known bool
	// Blocked is whether nothing is to be granted. The value of the field limit says who says so.
	Blocked bool
	// Values has the fields that have a value, in the order of Fields.
	Values []Value
	hidden []Origin // limits of the same name in farther files
}

// Value returns that of a field.
func (e *Effective) Value(name string) (v Value, ok bool) {
	for _, v := range e.Values {
		if v.Field == name {
			return v, true
		}
	}
	return Value{}, false
}

// Texts returns the value of a field as the flag takes it, none if there is none.
func (e *Effective) Texts(name string) []string {
	v, _ := e.Value(name)
	return v.Texts
}

// A level is one of those that are asked.
type level struct {
	origin Origin
	own    settings
}

// Lookup returns what holds for a limit and an account: for each field what the account has, else the limit, else the flags
// given, else the defaults, else what is built in. Of rate, every and limit = 0 the first that has any of them decides.
//
// Flags are given by the name of the field, and are not checked. Without a limit it is the flags and the defaults but for the key
// that they give to limits. An account
// of which the file has nothing has what the limit has; a limit of which it has nothing is an error.
func (c *Config) Lookup(name, of string, given map[string]Given) (*Effective, error) {
	e := &Effective{Limit: name, Account: of}
	var levels []level
	switch l, f := c.limit(name); {
	case name == "" && of != "":
		return nil, fmt.Errorf("account %s is that of no limit: say which", quoteKey(of))
	case name == "":
	case l == nil:
		return nil, c.noLimit(name)
	default:
		if a := l.account(of); a != nil {
			e.Known = true
			levels = append(levels, level{Origin{Level: Account, Limit: name, Account: of, File: f.name, Stored: f.stored}, a.own})
		}
		levels = append(levels, level{Origin{Level: Limit, Limit: name, File: f.name, Stored: f.stored}, l.own})
		e.hidden = c.hidden(name, f)
	}
	levels = append(levels, flags(given))
	for _, f := range c.files {
		own := f.defaults
		if name == "" { // there a key names the limit, and here is none
			own = maps.Clone(own)
			delete(own, fieldKey)
		}
		levels = append(levels, level{Origin{Level: Defaults, File: f.name, Stored: f.stored}, own})
	}
	levels = append(levels, builtInFor(name, of))
	for _, f := range fields() {
		if v, ok := choose(f.name, levels); ok {
			e.Values = append(e.Values, v)
			e.Blocked = e.Blocked || f.name == fieldLimit
		}
	}
	return e, e.fillKey()
}

func flags(given map[string]Given) level {
	own := make(settings)
	for name, g := range given {
		if len(g.Texts) > 0 {
			own[name] = setting{texts: g.Texts, env: g.Env}
		}
	}
	return level{Origin{Level: Flag}, own}
}

// builtInFor returns what holds where nobody says anything: the key is that of the limit and the account.
func builtInFor(name, of string) level {
	own := make(settings)
	switch {
	case of != "":
		own[fieldKey] = setting{texts: []string{name + ":" + of}}
	case name != "":
		own[fieldKey] = setting{texts: []string{name}}
	}
	return level{Origin{Level: BuiltIn}, own}
}

// said returns what a level says of a field.
func (l level) said(name string) (Said, bool) {
	s, ok := l.own[name]
	o := l.origin
	o.Line, o.Column = s.line, s.column
	if o.Level == Flag {
		o.Flag, o.Env = "--"+strings.ReplaceAll(name, "_", "-"), s.env
	}
	return Said{name, s.texts, o}, ok
}

// choose returns the value of a field, if it has one.
func choose(name string, levels []level) (v Value, ok bool) {
	rivals := []string{name} // a level that says any of them decides
	switch name {
	case fieldRate, fieldEvery:
		rivals = []string{fieldRate, fieldEvery}
	case fieldLimit:
		rivals = []string{fieldLimit, fieldRate, fieldEvery}
	}
	for i, l := range levels {
		if !l.says(rivals) {
			continue
		}
		if v.Said, ok = l.said(name); !ok {
			return Value{}, false
		}
		if name == fieldRate || name == fieldEvery {
			rivals = []string{fieldRate, fieldEvery, fieldLimit}
		}
		for _, l := range levels[i+1:] {
			for _, rival := range rivals {
				if said, ok := l.said(rival); ok && l.origin.Level != BuiltIn && name != fieldLimit {
					v.Overruled = append(v.Overruled, said)
				}
			}
		}
		return v, true
	}
	return Value{}, false
}

func (l level) says(names []string) bool {
	for _, name := range names {
		if _, ok := l.own[name]; ok {
			return true
		}
	}
	return false
}

// fillKey puts the names into a key that a file has.
func (e *Effective) fillKey() error {
	for i, v := range e.Values {
		if v.Field != fieldKey || v.Origin.File == "" {
			continue
		}
		for place, name := range map[string]string{accountPlace: e.Account, limitPlace: e.Limit} {
			if name == "" && strings.Contains(v.Texts[0], place) {
				return fmt.Errorf("key = %s has %s, but none is given: give --%s (%s)",
					quoteText(v.Texts[0]), place, strings.Trim(place, "{}"), v.Origin)
			}
		}
		// At once: what is in a name is not replaced.
		text := strings.NewReplacer(accountPlace, e.Account, limitPlace, e.Limit).Replace(v.Texts[0])
		e.Values[i].Texts = []string{text}
	}
	return nil
}

// maxNames is how many names are told in an error.
const maxNames = 20

func (c *Config) noLimit(name string) error {
	names, files := c.Limits(), c.Files()
	where := "in " + strings.Join(files, " or ")
	switch {
	case len(files) == 0:
		return fmt.Errorf("there is no limit %q: there is no file\nit would be [limits.%s] in %s, or in the file that is named with --config",
			name, quoteKey(name), FileName)
	case len(names) == 0:
		return fmt.Errorf("there is no limit %q: there are none %s", name, where)
	}
	near := ""
	if n := meant(name, names); n != "" {
		near = fmt.Sprintf(": did you mean %q?", n)
	}
	more := ""
	if len(names) > maxNames {
		more = fmt.Sprintf(" and %d more", len(names)-maxNames)
		names = names[:maxNames]
	}
	are := "are"
	if len(names) == 1 {
		are = "is"
	}
	return fmt.Errorf("there is no limit %q %s%s\nthere %s %s%s", name, where, near, are, strings.Join(names, ", "), more)
}

// hidden returns the limits of the same name in the files behind the nearest one that has it.
func (c *Config) hidden(name string, nearest *file) []Origin {
	var hidden []Origin
	behind := false
	for _, f := range c.files {
		for _, l := range f.limits {
			if behind && l.name == name {
				hidden = append(hidden, Origin{Level: Limit, Limit: name, File: f.name, Line: l.line, Column: l.column})
			}
		}
		behind = behind || f == nearest
	}
	return hidden
}
