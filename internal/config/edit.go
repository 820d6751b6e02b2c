package config

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// An Entry names what is changed in a file.
type Entry struct {
	Limit   string // "" for the defaults
	Account string // "" for the limit itself
	Field   string
}

func (e Entry) table() []string {
	switch {
	case e.Limit == "":
		return []string{tableDefaults}
	case e.Account == "":
		return []string{tableLimits, e.Limit}
	}
	return []string{tableLimits, e.Limit, tableAccounts, e.Account}
}

func (e Entry) String() string {
	switch {
	case e.Limit == "":
		return "[defaults]"
	case e.Account == "":
		return "limit " + quoteKey(e.Limit)
	}
	return fmt.Sprintf("account %s of limit %s", quoteKey(e.Account), quoteKey(e.Limit))
}

// Set gives a field of a file a value: texts, as the flag takes them, several for rate only. Everything else in the file stays as
// it is, comments included. A file that is not there is created. It is replaced in one step, and only by one without errors.
func Set(ctx context.Context, path string, e Entry, texts []string, checks Checks) error {
	f, err := e.checkSet(texts, checks)
	if err != nil {
		return err
	}
	return rewrite(ctx, path, true, func(data []byte) ([]byte, error) {
		return edit(path, data, e, checks, func(d *document) ([]byte, error) { return d.set(e, f.write(texts)) })
	})
}

// Unset takes a field out of a file; without a field the account, or the limit with its accounts. Everything else stays as it is,
// comments included. That there is nothing to take out is an error.
func Unset(ctx context.Context, path string, e Entry, checks Checks) error {
	if e.Field != "" {
		if _, err := e.check(); err != nil {
			return err
		}
	}
	return rewrite(ctx, path, false, func(data []byte) ([]byte, error) {
		return edit(path, data, e, checks, func(d *document) ([]byte, error) { return d.unset(path, e) })
	})
}

// checkSet returns the field if it may have the value.
func (e Entry) checkSet(texts []string, checks Checks) (field, error) {
	f, err := e.check()
	if err != nil {
		return f, err
	}
	if err := f.checkGiven(texts, checks); err != nil {
		return f, err
	}
	for _, text := range append(slices.Clone(texts), e.Limit, e.Account) {
		if !utf8.ValidString(text) {
			return f, fmt.Errorf("%q is not UTF-8: a file can't have it", text)
		}
	}
	return f, nil
}

func (e Entry) check() (field, error) {
	if e.Limit == "" && e.Account != "" {
		return field{}, fmt.Errorf("account %s is that of no limit: say which", quoteKey(e.Account))
	}
	return lookupField(e.Field)
}

// write returns a value as it stands in a file.
func (f field) write(texts []string) string {
	switch f.kind {
	case ofCount, ofBlock, ofBoolean:
		return texts[0]
	case ofText, ofRates, ofDuration:
	}
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quoteText(text)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// edit changes a text, and makes sure that the change is that one and no other.
func edit(path string, data []byte, e Entry, checks Checks, change func(*document) ([]byte, error)) ([]byte, error) {
	before := parseDocument(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(before.problems) > 0 {
		d := decoder{before, checks}
		return nil, d.errors(path) // where things are is not known
	}
	text, err := change(before)
	if err != nil {
		return nil, err
	}
	if _, wrong := decode(path, text, checks); len(wrong) > 0 {
		return nil, fmt.Errorf("%s is left as it is, since with that it would be wrong:\n%w", path, wrong)
	}
	was, is := before.root.flat(), parseDocument(text).root.flat()
	prefix := quoteKeys(append(e.table(), e.Field))
	if e.Field == "" {
		prefix = quoteKeys(e.table())
	}
	for _, m := range []map[string]string{was, is} {
		for name := range m {
			if (name == prefix || strings.HasPrefix(name, prefix+".")) || was[name] == is[name] {
				continue
			}
			return nil, fmt.Errorf("%s is left as it is: %s can't be changed alone, since it's written in an unusual way: do it with an editor", path, e)
		}
	}
	return append(slices.Clone(data[:len(data)-len(before.data)]), text...), nil
}

// flat returns all values with their names.
func (i *item) flat() map[string]string {
	values := make(map[string]string)
	var walk func(name string, i *item)
	walk = func(name string, i *item) {
		for n, c := range i.items {
			part := quoteKey(c.key)
			if i.kind != aTable {
				part = fmt.Sprintf("#%d", n)
			}
			if name != "" {
				part = name + "." + part
			}
			walk(part, c)
		}
		if i.kind != aTable {
			values[name] = fmt.Sprint(i.kind, i.text, i.number, i.truth, len(i.items))
		}
	}
	walk("", i)
	return values
}

// splice returns the text with a part of it replaced.
func (d *document) splice(s span, text string) []byte {
	return slices.Concat(d.data[:s.from], []byte(text), d.data[s.to:])
}

// newline is how lines end.
func (d *document) newline() string {
	if n := bytes.IndexByte(d.data, '\n'); n > 0 && d.data[n-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// set returns the text with the value at its place: where the field stands already, else in the table of the entry, else in a
// new table.
func (d *document) set(e Entry, value string) ([]byte, error) {
	at := d.root
	path := append(e.table(), e.Field)
	for n, name := range path {
		next := at.child(name)
		switch {
		case next == nil:
			return d.insert(at, path[n:], value), nil
		case next.kind != aTable && n+1 < len(path) || next.kind == aTable && n+1 == len(path) || next.kind == aTableList:
			return nil, fmt.Errorf("%s in line %d is %s: change it with an editor", quoteKeys(path[:n+1]), d.lineOf(next.start()), next.kind)
		}
		at = next
	}
	return d.splice(at.at, value), nil
}

// insert adds an entry to a table, in which the names but the last are tables that aren't there yet.
func (d *document) insert(to *item, names []string, value string) []byte {
	switch {
	case to.origin == byBraces:
		return d.insertInBraces(to, quoteKeys(names)+" = "+value)
	case to.origin == byDots:
		return d.insertDotted(to, names, value)
	case to.origin == byHeader && len(names) == 1:
		return d.insertInSection(to.section, quoteKey(names[0])+" = "+value)
	}
	return d.insertSection(to, append(to.path(), names...), value)
}

func (d *document) insertInBraces(to *item, entry string) []byte {
	if values := to.values(); len(values) > 0 {
		end := values[len(values)-1].entry.to
		return d.splice(span{end, end}, ", "+entry)
	}
	return d.splice(span{to.at.from + 1, to.at.to - 1}, " "+entry+" ")
}

// insertDotted adds to a table that there is by names with dots only: by such a name, behind the last.
func (d *document) insertDotted(to *item, names []string, value string) []byte {
	values := to.values()
	last := values[len(values)-1]
	base := to
	for ; base.origin == byDots; base = base.parent {
		names = append([]string{base.key}, names...)
	}
	entry := quoteKeys(names) + " = " + value
	if base.origin == byBraces {
		return d.splice(span{last.entry.to, last.entry.to}, ", "+entry)
	}
	return d.insertLine(last.entry, entry)
}

func (d *document) insertInSection(s *section, entry string) []byte {
	if values := s.table.values(); len(values) > 0 {
		return d.insertLine(values[len(values)-1].entry, entry)
	}
	return d.insertLine(span{s.start, s.end}, entry)
}

// values returns the values of a table that stand with it, in the order of the text: not those under headers of their own.
func (i *item) values() []*item {
	var all []*item
	for _, c := range i.items {
		switch {
		case c.kind == aTableList, c.kind == aTable && (c.origin == byHeader || c.origin == implied):
		case c.kind == aTable && c.origin == byDots:
			all = append(all, c.values()...)
		default:
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *item) int { return a.entry.from - b.entry.from })
	return all
}

// insertLine adds a line behind an expression, and indented as that is.
func (d *document) insertLine(after span, entry string) []byte {
	before := d.data[d.lineStart(after.from):after.from]
	line := string(before[:len(before)-len(bytes.TrimLeft(before, " \t"))]) + entry
	end := d.lineEnd(after.to)
	if !bytes.HasSuffix(d.data[:end], []byte("\n")) {
		return d.splice(span{end, end}, d.newline()+line)
	}
	return d.splice(span{end, end}, line+d.newline())
}

// insertSection adds a table with one entry: behind all that belongs to the limit, or at the end.
func (d *document) insertSection(beside *item, path []string, value string) []byte {
	nl := d.newline()
	last := len(path) - 1
	text := "[" + quoteKeys(path[:last]) + "]" + nl + quoteKey(path[last]) + " = " + value + nl
	end := len(d.data)
	if len(beside.path()) > 1 {
		for _, s := range d.sections {
			if s.table.within(beside) {
				end = d.lineEnd(s.end)
			}
		}
		// What is noted under an entry stays with it.
		for end < len(d.data) && bytes.HasPrefix(bytes.TrimLeft(d.data[end:], " \t"), []byte("#")) {
			end = d.lineEnd(end)
		}
	}
	before := d.data[:end]
	switch {
	case len(before) == 0:
	case !bytes.HasSuffix(before, []byte("\n")):
		text = nl + nl + text
	case !bytes.HasSuffix(before, []byte("\n\n")) && !bytes.HasSuffix(before, []byte("\n\r\n")):
		text = nl + text
	}
	if rest := d.data[end:]; len(rest) > 0 && !bytes.HasPrefix(rest, []byte("\n")) && !bytes.HasPrefix(rest, []byte("\r\n")) {
		text += nl
	}
	return d.splice(span{end, end}, text)
}

// within reports whether an item is another one, or a part of it.
func (i *item) within(other *item) bool {
	for ; i != nil; i = i.parent {
		if i == other {
			return true
		}
	}
	return false
}

// unset returns the text without the entry.
func (d *document) unset(path string, e Entry) ([]byte, error) {
	at := d.root
	names := e.table()
	if e.Field != "" {
		names = append(names, e.Field)
	}
	for _, name := range names {
		if at = at.child(name); at == nil {
			switch {
			case e.Field != "":
				return nil, fmt.Errorf("%s has no %s in %s", e, e.Field, path)
			case e.Limit == "":
				return nil, fmt.Errorf("there are no defaults in %s", path)
			}
			return nil, fmt.Errorf("there is no %s in %s", e, path)
		}
	}
	cuts := d.cuts(at)
	slices.SortFunc(cuts, func(a, b span) int { return b.from - a.from })
	text := d.data
	for _, c := range cuts {
		text = slices.Concat(text[:c.from], text[c.to:])
	}
	if len(cuts) > 0 && cuts[0].to == len(d.data) { // the empty line before the last section goes with it
		end := len(bytes.TrimRight(text, " \t\r\n"))
		if end > 0 {
			end += bytes.IndexByte(text[end:], '\n') + 1
		}
		text = text[:end]
	}
	return text, nil
}

// cuts returns the parts of the text that an item is. They don't overlap.
func (d *document) cuts(i *item) []span {
	if i.kind != aTableList && (i.kind != aTable || i.origin == byBraces) {
		return []span{d.cut(i)}
	}
	var cuts []span
	for _, s := range d.sections {
		if s.table.within(i) {
			cuts = append(cuts, d.section(s))
		}
	}
	if i.kind == aTable && i.origin == byDots {
		for _, v := range i.values() {
			cuts = append(cuts, d.cut(v))
		}
	}
	return cuts
}

// section returns the lines of a section, and one that is empty behind them if there is one before them, too.
func (d *document) section(s *section) span {
	cut := span{d.lineStart(s.start), d.lineEnd(s.end)}
	if next := d.lineEnd(cut.to); d.blank(cut.to, next) && (cut.from == 0 || d.blank(d.lineStart(cut.from-1), cut.from)) {
		cut.to = next
	}
	return cut
}

func (d *document) blank(from, to int) bool { return len(bytes.TrimSpace(d.data[from:to])) == 0 }

// cut returns the part of the text that KEY = VALUE is: its lines, or what it is in braces, with a comma.
func (d *document) cut(v *item) span {
	base := v.parent
	for base.origin == byDots {
		base = base.parent
	}
	if base.origin != byBraces {
		return span{d.lineStart(v.entry.from), d.lineEnd(v.entry.to)}
	}
	all := base.values()
	switch n := slices.Index(all, v); {
	case n > 0:
		return span{all[n-1].entry.to, v.entry.to}
	case len(all) > 1:
		return span{v.entry.from, all[1].entry.from}
	}
	rest := d.data[v.entry.to:]
	if bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte(",")) {
		return span{v.entry.from, v.entry.to + bytes.IndexByte(rest, ',') + 1}
	}
	return v.entry
}
