package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The tables.
const (
	tableDefaults = "defaults"
	tableLimits   = "limits"
	tableAccounts = "accounts"
)

// A decoder makes a file of a document, and notes what is wrong with it.
type decoder struct {
	*document
	checks Checks
}

// decode reads the text of a file. What is wrong comes in order, and not more of it than anybody reads.
func decode(path string, data []byte, checks Checks) (*file, Errors) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors on Windows put it there
	d := decoder{parseDocument(data), checks}
	f := &file{name: path}
	d.file(f)
	return f, d.errors(path)
}

func (d *decoder) errors(path string) Errors {
	slices.SortStableFunc(d.problems, func(a, b problem) int { return cmp.Compare(a.at, b.at) })
	var errs Errors
	for i, p := range d.problems {
		if i == maxErrors {
			errs = append(errs, fmt.Errorf("%s: and %d more errors", path, len(d.problems)-i))
			break
		}
		line, column := d.place(p.at)
		errs = append(errs, &Error{File: path, Line: line, Column: column, Text: p.text})
	}
	return errs
}

func (d *decoder) file(f *file) {
	for _, i := range d.root.items {
		switch i.key {
		case tableDefaults:
			if d.isTable(i, "[defaults]") {
				f.defaults = d.settings(i, "the defaults", nil)
				d.checkDefaultKey(i)
			}
		case tableLimits:
			if !d.isTable(i, "[limits.NAME]") {
				continue
			}
			for _, l := range i.items {
				if d.named(l, "limit") && d.isTable(l, "[limits."+quoteKey(l.key)+"]") {
					f.limits = append(f.limits, d.limit(l))
				}
			}
		default:
			d.unknown(i, "", []string{tableDefaults, tableLimits})
		}
	}
}

func (d *decoder) limit(i *item) *limit {
	l := &limit{name: i.key}
	l.line, l.column = d.place(i.start())
	l.own = d.settings(i, "limit "+quoteKey(i.key), []string{tableAccounts})
	accounts := i.child(tableAccounts)
	if accounts == nil || !d.isTable(accounts, fmt.Sprintf("[limits.%s.accounts.NAME]", quoteKey(i.key))) {
		return l
	}
	for _, a := range accounts.items {
		what := fmt.Sprintf("account %s of limit %s", quoteKey(a.key), quoteKey(i.key))
		if d.named(a, "account") && d.isTable(a, "["+quoteKeys(a.path())+"]") {
			l.accounts = append(l.accounts, &account{name: a.key, line: d.lineOf(a.start()), own: d.settings(a, what, nil)})
		}
	}
	return l
}

// start returns where an item is said to be: at its header, if it has one.
func (i *item) start() int {
	if i.kind == aTable && i.origin == byHeader {
		return i.at.from
	}
	return i.keyAt.from
}

// isTable reports whether an item is a table, as it's written.
func (d *decoder) isTable(i *item, written string) bool {
	switch i.kind {
	case aTable:
		return true
	case aTableList:
		d.problem(i.keyAt.from, "[[%s]] is a list: it is a table, %s", quoteKeys(i.path()), written)
	case anArray, aText, anInteger, aBoolean, anything:
		d.problem(i.at.from, "%s = %s is %s: it is a table, %s", quoteKey(i.key), d.quote(i.at), i.kind, written)
	}
	return false
}

func (d *decoder) named(i *item, what string) bool {
	if i.key == "" {
		d.problem(i.keyAt.from, `"" is no name for %s`, map[string]string{"limit": "a limit", "account": "an account"}[what])
		return false
	}
	return true
}

// unknown notes a key that isn't one of those there are. Where is empty at the top of the file.
func (d *decoder) unknown(i *item, where string, names []string) {
	if where != "" {
		where = " in " + where
	}
	d.problem(i.keyAt.from, "unknown key %s%s%s", quoteText(shorten(i.key)), where, hint(i.key, names))
}

// settings reads the fields of a table, which may have other tables besides.
func (d *decoder) settings(i *item, where string, others []string) settings {
	s := make(settings)
	for _, v := range i.items {
		f, ok := fieldOf(v.key)
		switch {
		case ok:
			if texts := d.texts(f, v); texts != nil {
				line, column := d.place(v.start())
				s[f.name] = setting{texts: texts, line: line, column: column}
			}
		case !slices.Contains(others, v.key):
			d.unknown(v, where, append(Fields(), others...))
		}
	}
	rate, every := i.child(fieldRate), i.child(fieldEvery)
	if rate != nil && every != nil {
		first, second := rate, every
		if every.keyAt.from < rate.keyAt.from {
			first, second = every, rate
		}
		d.problem(second.keyAt.from, "%s and %s both say the rate of %s: give one of them (%s is in line %d)",
			first.key, second.key, where, first.key, d.lineOf(first.keyAt.from))
	}
	return s
}

// checkDefaultKey notes a key that all limits would have.
func (d *decoder) checkDefaultKey(i *item) {
	if key := i.child(fieldKey); key != nil && key.kind == aText && key.text != "" && !strings.Contains(key.text, limitPlace) {
		d.problem(key.at.from, `key = %s would be that of all limits: put {limit} into it, as in key = "{limit}:{account}"`, d.quote(key.at))
	}
}

// texts returns the value of a field, as texts; nil if it's wrong.
func (d *decoder) texts(f field, v *item) []string {
	var err error
	switch {
	case f.kind == ofRates && v.kind != aText:
		return d.rates(f, v)
	case f.kind == ofRates && v.kind == aText, f.kind == ofText && v.kind == aText, f.kind == ofDuration && v.kind == aText:
		if err = f.checkText(v.text, d.checks); err == nil {
			return []string{v.text}
		}
	case (f.kind == ofCount || f.kind == ofBlock) && v.kind == anInteger:
		if err = f.checkNumber(v.number); err == nil {
			return []string{strconv.FormatInt(v.number, 10)}
		}
	case f.kind == ofBoolean && v.kind == aBoolean:
		return []string{strconv.FormatBool(v.truth)}
	default:
		d.wrongType(v, f.accepts())
		return nil
	}
	d.problem(v.at.from, "%v", err)
	return nil
}

func (d *decoder) wrongType(v *item, accepts string) {
	switch {
	case v.kind == aTableList || v.kind == aTable && v.origin != byBraces:
		d.problem(v.start(), "%s is %s: %s", quoteKey(v.key), v.kind, accepts)
	case v.key == "":
		d.problem(v.at.from, "%s is %s: %s", d.quote(v.at), v.kind, accepts)
	default:
		d.problem(v.at.from, "%s = %s is %s: %s", quoteKey(v.key), d.quote(v.at), v.kind, accepts)
	}
}

// rates returns the texts of a rate that isn't a text itself: an array of texts and tables, or a list of tables.
func (d *decoder) rates(f field, v *item) []string {
	items := v.items
	switch v.kind {
	case anArray, aTableList:
	case aTable:
		items = []*item{v}
	case aText, anInteger, aBoolean, anything:
		d.wrongType(v, f.accepts())
		return nil
	}
	if len(items) == 0 {
		d.problem(v.at.from, "%s = %s is empty: %s", quoteKey(v.key), d.quote(v.at), f.accepts())
	}
	var texts []string
	for _, i := range items {
		text, ok := i.text, i.kind == aText
		switch {
		case ok:
			if err := f.checkText(text, d.checks); err != nil {
				d.problem(i.at.from, "%v", err)
				ok = false
			}
		case i.kind == aTable:
			text, ok = d.rateTable(f, i)
		default:
			d.wrongType(i, "one of several rates is a text or a table: "+strings.TrimPrefix(f.accepts(), "it is a text such as rate = \"20/s\", or "))
		}
		if ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// rateTable makes the text of a table such as { rate = "100/h", algorithm = "token-bucket", burst = 5 }: that which --rate
// takes, 100/h,algorithm=token-bucket,burst=5.
func (d *decoder) rateTable(f field, t *item) (text string, ok bool) {
	before := len(d.problems)
	at := t.start()
	if t.origin == byBraces {
		at = t.at.from
	}
	rate := t.child(fieldRate)
	switch {
	case rate == nil:
		d.problem(at, `a table of a rate has no rate: it is { rate = "100/h" }, with algorithm and burst if you like`)
	case rate.kind != aText:
		d.wrongType(rate, "it is a text such as "+f.example)
	default:
		if err := f.checkText(rate.text, d.checks); err != nil {
			d.problem(rate.at.from, "%v", err)
		}
		text = rate.text
	}
	for _, i := range t.items {
		option, known := fieldOf(i.key)
		switch {
		case i.key == fieldRate:
			continue
		case i.key == "algorithm" || i.key == "burst":
			if value := d.texts(option, i); value != nil {
				text += "," + i.key + "=" + value[0]
			}
		case slices.Contains(d.checks.RateOptions, i.key):
			if i.kind != aText {
				d.wrongType(i, "it is a text")
			}
			text += "," + i.key + "=" + i.text
		case known:
			d.problem(i.keyAt.from, "%s is not said of one rate, but of the limit: put it next to the array", i.key)
		default:
			d.unknown(i, "a rate", append([]string{fieldRate, "algorithm", "burst"}, d.checks.RateOptions...))
		}
	}
	if len(d.problems) == before && strings.Contains(text, ",") {
		if err := f.checkText(text, d.checks); err != nil { // what is wrong with them together
			d.problem(at, "%v", err)
		}
	}
	return text, len(d.problems) == before
}
