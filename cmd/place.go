package cmd

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/internal/template"
)

// aheadLines is how many lines are read ahead of those that wait, unless more are asked for.
const aheadLines = 1000

// perLineOptions are the flags that give lines limits of their own, besides replacement strings in --key, --rate, --cost,
// --limit and --account.
type perLineOptions struct {
	keyRegexp string
	ahead     int
}

func (o *perLineOptions) addFlags(f *pflag.FlagSet) {
	f.Var((*name)(&o.keyRegexp), "key-regexp", "the key of a line is what `REGEXP`, or its group, finds")
	f.IntVar(&o.ahead, "max-read-ahead", aheadLines, "`N` lines may wait for their keys while others go on (1000)")
}

// A placer says by what limit each line goes.
type placer struct {
	colsep *regexp.Regexp
	regexp *regexp.Regexp // that finds the key; nil for none
	// What differs from line to line; nil for what does not.
	key, cost, limit, account *template.Template
	rates                     []*template.Template
	keys                      bool     // whether lines have keys of their own
	store                     []string // how commands find where those are
}

// A place is the limit by which a line goes.
type place struct {
	lane           string // lines of a lane wait in order
	key            string // "" where it is that of the limit and the account
	limit, account string
	rates          []string // nil where they are those of all
	cost           int
	where          string // of the line, for messages
}

// placer returns nil where all lines go by the same limit and cost the same. The line is split at colsep, "" for nowhere: then advice
// says what to do about a column.
func (o *paceOptions) placer(replace, colsep, advice string) (*placer, error) {
	p := &placer{store: o.store.env()}
	parse := func(flag, text string) (*template.Template, error) {
		if _, ok := template.Used(text, replace); !ok {
			return nil, nil
		}
		if found, ok := template.Number(text, replace); ok {
			return nil, fmt.Errorf("--%s %q: %s is known only when a job starts, and its slot comes before", flag, text, found)
		}
		t := template.Parse([]string{text}, replace)
		if highest := max(t.First, t.Last); highest > 0 && colsep == "" {
			return nil, fmt.Errorf("--%s %q has a column {%d}: %s", flag, text, highest, advice)
		}
		return t, nil
	}
	var err error
	for _, f := range []struct {
		to   **template.Template
		flag string
		text string
	}{
		{&p.key, "key", o.keyTemplate()}, {&p.cost, "cost", o.cost}, {&p.limit, "limit", o.config.limit}, {&p.account, "account", o.config.account},
	} {
		if *f.to, err = parse(f.flag, f.text); err != nil {
			return nil, err
		}
	}
	differs := false
	for _, r := range o.limit.rates {
		t, err := parse("rate", r)
		if err != nil {
			return nil, err
		}
		differs = differs || t != nil
	}
	if differs {
		for _, r := range o.limit.rates {
			p.rates = append(p.rates, template.Parse([]string{r}, replace))
		}
	}
	if o.perLine.keyRegexp != "" {
		if o.key != "" {
			return nil, errConflict("--key", "--key-regexp")
		}
		if p.regexp, err = regexp.Compile(o.perLine.keyRegexp); err != nil {
			return nil, fmt.Errorf("--key-regexp %q: %w", o.perLine.keyRegexp, err)
		}
	}
	p.keys = p.key != nil || p.regexp != nil || p.limit != nil || p.account != nil
	switch {
	case !p.keys && givenHere(o.given, "max-read-ahead"):
		return nil, errors.New("--max-read-ahead is for lines with keys of their own: the others wait in one queue")
	case !p.keys && p.cost == nil && p.rates == nil:
		return nil, nil //nolint:nilnil // there is nothing to say where
	case p.rates != nil && !p.keys:
		return nil, fmt.Errorf("--rate %s differs from line to line, and all go by one limit: give lines keys, as in --key '{1}'", strings.Join(o.limit.rates, " "))
	case p.keys && o.state != "":
		return nil, errors.New("--state is one file: lines with keys of their own have files of their own (THROTTLE_STATE_DIR says where)")
	case o.perLine.ahead < 1:
		return nil, fmt.Errorf("--max-read-ahead %d: it is 1 or more", o.perLine.ahead)
	}
	if colsep != "" {
		if p.colsep, err = regexp.Compile(colsep); err != nil {
			return nil, fmt.Errorf("--colsep %q: %w", colsep, err)
		}
	}
	return p, nil
}

// keyTemplate returns the key as it may differ from line to line. That of a job was made of a line: it is data.
func (o *paceOptions) keyTemplate() string {
	if o.given.Lookup("key").Annotations[fromJob] != nil {
		return ""
	}
	return o.key
}

// replaces reports whether there are replacement strings, so that it matters how a line is split, and what stands for it.
func (p *placer) replaces() bool {
	return p.key != nil || p.cost != nil || p.limit != nil || p.account != nil || p.rates != nil
}

// values returns what replacement strings stand for in a line.
func (p *placer) values(text string) template.Values {
	v := template.Values{Line: &text, Args: []string{text}}
	if p.colsep != nil {
		v.Args = p.colsep.Split(text, -1)
	}
	return v
}

// place returns the place of a line, or of the first of those that a command takes.
func (p *placer) place(r record.Record, v template.Values) (*place, error) {
	bad := func(err error) (*place, error) { return nil, fmt.Errorf("%s, %.60q: %w", r.Where(), r.Text, err) }
	at := &place{where: r.Where()}
	for _, f := range []struct {
		from *template.Template
		to   *string
		what string
	}{{p.key, &at.key, "key"}, {p.limit, &at.limit, "limit"}, {p.account, &at.account, "account"}} {
		if f.from == nil {
			continue
		}
		text, err := expand(f.from, v)
		if err == nil && text == "" {
			err = fmt.Errorf("its %s is empty", f.what)
		}
		if err != nil {
			return bad(err)
		}
		*f.to = text
	}
	if p.regexp != nil {
		found := p.regexp.FindStringSubmatch(r.Text)
		switch {
		case found == nil:
			return bad(fmt.Errorf("--key-regexp '%v' finds no key in it", p.regexp))
		case len(found) > 1 && found[1] != "":
			at.key = found[1]
		case found[0] == "":
			return bad(fmt.Errorf("the key that --key-regexp '%v' finds in it is empty", p.regexp))
		default:
			at.key = found[0]
		}
	}
	for _, t := range p.rates {
		text, err := expand(t, v)
		if err != nil {
			return bad(err)
		}
		at.rates = append(at.rates, text)
	}
	if p.cost != nil {
		text, err := expand(p.cost, v)
		if err == nil {
			at.cost, err = parseCost(text)
		}
		if err != nil {
			return bad(err)
		}
	}
	at.lane = strings.Join([]string{at.key, at.limit, at.account}, "\x00")
	return at, nil
}

// expand returns the text that a template of one word makes of a line.
func expand(t *template.Template, v template.Values) (string, error) {
	if err := t.Check(len(v.Args)); err != nil {
		return "", err
	}
	return strings.Join(t.Expand(v), " "), nil
}

// put gives a task the place of a line, and its command the key.
func (p *placer) put(t *batch.Task, r record.Record) error {
	at, err := p.place(r, p.values(r.Text))
	if err != nil {
		return err
	}
	t.Limit = at
	if !p.keys {
		return nil
	}
	command := t.Command
	t.Command = func(seq, slot int) batch.Command {
		c := command(seq, slot)
		c.Env = append([]string{"THROTTLE_KEY=" + at.key}, p.store...)
		return c
	}
	return nil
}

func laneOf(t batch.Task) string {
	at, _ := t.Limit.(*place)
	return at.lane
}

// keyOf returns the key that a task goes by, where that is not the one of all.
func keyOf(t batch.Task, all string) string {
	if at, ok := t.Limit.(*place); ok && at.key != "" {
		return at.key
	}
	return all
}
