package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/internal/secret"
)

// configOptions are the flags that name a limit of throttle.toml.
type configOptions struct {
	limit   string
	account string
	file    string
	loaded  *config.Config // the files, once they are read
	store   *storeOptions  // where else there may be limits; nil for nowhere
	table   *limitsTable   // what is known of those
	shows   bool           // it is only to be shown: a store that is away is no error
}

func (o *configOptions) addFlags(f *pflag.FlagSet) {
	f.Var((*name)(&o.limit), "limit", "what throttle.toml says of the limit `NAME`")
	f.Var((*name)(&o.account), "account", "and of its account `NAME`")
	o.addFileFlag(f)
}

func (o *configOptions) addFileFlag(f *pflag.FlagSet) {
	f.Var((*name)(&o.file), "config", "read `FILE`, not ./throttle.toml and ~/.config/throttle/")
}

// load reads the files, once, and warns of what is odd about them.
func (o *configOptions) load(log *logger) (*config.Config, error) {
	if o.loaded != nil {
		return o.loaded, nil
	}
	c, err := byname.Load(o.file)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings() {
		log.warn("warning: " + w)
	}
	o.loaded = c
	return c, nil
}

// flagOf returns the flag that says what a field of a file says. The field limit blocks; --limit is a name.
func flagOf(flags *pflag.FlagSet, field string) *pflag.Flag {
	if field == "limit" {
		return nil
	}
	return flags.Lookup(strings.ReplaceAll(field, "_", "-"))
}

// given returns what the flags say that were given, here or in the environment, by the fields of a file.
func given(flags *pflag.FlagSet) map[string]config.Given {
	said := make(map[string]config.Given)
	for _, field := range config.Fields() {
		f := flagOf(flags, field)
		if delay := flags.Lookup("delay"); field == "every" && delay != nil && delay.Changed { // another name of the same flag
			f = delay
		}
		if f == nil || !f.Changed {
			continue
		}
		g := config.Given{Texts: []string{f.Value.String()}}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			g.Texts = several.GetSlice()
		}
		if env := f.Annotations[fromEnv]; len(env) > 0 {
			g.Env = env[0]
		}
		said[field] = g
	}
	return said
}

// settle takes an account from the environment only where a limit is named: it is for those who do.
func (o *configOptions) settle(flags *pflag.FlagSet) {
	if o.limit == "" && !givenHere(flags, "account") {
		o.account = ""
	}
}

// lookup returns what holds for the limit and the account, with the flags that were given.
func (o *configOptions) lookup(ctx context.Context, flags *pflag.FlagSet, log *logger) (*config.Effective, error) {
	c, err := o.load(log)
	asked := ""
	if err == nil && o.limit != "" && o.store != nil {
		of := *o.store
		of.url = o.storeURL(c, flags)
		var all *config.Config
		if all, err = o.with(ctx, c, of, log); err == nil {
			if p, _ := of.place(); p.Remote() {
				asked = "\n" + secret.Hide(of.url) + " was asked, too"
			}
			c = all
		} else if o.shows && isAway(err) {
			log.warn(fmt.Sprintf("warning: %v; what it has of limits is left out", err))
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	e, err := c.Lookup(o.limit, o.account, given(flags))
	if err != nil && asked != "" {
		err = fmt.Errorf("%w%s", err, asked)
	}
	return e, err
}

// storeURL returns which store the call goes by, as far as the flags and the files say; "" for the usual one.
func (o *configOptions) storeURL(c *config.Config, flags *pflag.FlagSet) string {
	said := given(flags)
	e, err := c.Lookup(o.limit, o.account, said)
	if err != nil { // there may be such a limit in the store
		e, err = c.Lookup("", "", said)
	}
	if err == nil {
		if texts := e.Texts("store"); len(texts) > 0 {
			return texts[0]
		}
	}
	return ""
}

// settleStore takes the store that the defaults of the files name, where no other is given.
func (o *configOptions) settleStore(flags *pflag.FlagSet, log *logger) error {
	c, err := o.load(log)
	if err == nil {
		o.store.url = o.storeURL(c, flags)
	}
	return err
}

// applyLimit has the flags of a mode say what holds for the limit and the account that o names: what throttle.toml has where it goes
// before the flags that were given, or where none was given, and the key. The mode then goes by its flags as ever. It is
// called first, also where no limit is named: the defaults of the file hold for all. For a limit or an account that is
// blocked it returns a *blockedError.
//
// The flags are those named as the fields of the file are. A mode that lacks one has no use for it, and what the file says of
// it is passed over: wait makes no attempts, and what only passes lines on has no command to judge. A flag that takes several
// values is a pflag.SliceValue.
func applyLimit(ctx context.Context, flags *pflag.FlagSet, o *configOptions, log *logger) error {
	e, err := o.lookup(ctx, flags, log)
	if err != nil {
		return err
	}
	if e.Blocked {
		return blockedBy(e, flags)
	}
	return applyValues(flags, e, log)
}

func applyValues(flags *pflag.FlagSet, e *config.Effective, log *logger) error {
	for _, v := range e.Values {
		if err := applyValue(flags, e, v, log); err != nil {
			return err
		}
	}
	return nil
}

func applyValue(flags *pflag.FlagSet, e *config.Effective, v config.Value, log *logger) error {
	f := flagOf(flags, v.Field)
	if f == nil || v.Origin.Level == config.Flag {
		return nil
	}
	changed := func(name string) bool {
		f := flags.Lookup(name)
		return f != nil && f.Changed
	}
	if v.Field == "max_wait" && changed("no-wait") {
		return nil // who does not wait at all waits no longer than that
	}
	if v.Field == "store" && changed("state") {
		return nil // a file is a store
	}
	for _, other := range []string{"state", "key-regexp"} {
		if v.Field != "key" || !changed(other) {
			continue
		}
		if v.Origin.File == "" { // the flag says with whom the rate is shared, and the name of the limit does not
			return nil
		}
		return fmt.Errorf("--%s does not go with the key of limit %s, which is %q (%v)", other, e.Limit, v.Texts[0], v.Origin)
	}
	// A file says the rate in one way, and whatever said it in another one no longer does.
	if v.Field == "rate" || v.Field == "every" {
		for _, other := range []string{"rate", "every", "delay"} {
			if o := flags.Lookup(other); o != nil && o != f && o.Changed {
				if err := forget(o); err != nil {
					return err
				}
			}
		}
	}
	for _, said := range v.Overruled {
		if said.Origin.Level == config.Flag && said.Origin.Env == "" && !slices.Equal(said.Texts, v.Texts) {
			log.warnOnce(fmt.Sprintf("warning: %s %s does not hold: %s = %s (%v)",
				said.Origin.Flag, secret.Hide(strings.Join(said.Texts, " ")), v.Field, secret.Hide(strings.Join(v.Texts, " and ")), v.Origin))
		}
	}
	if err := setAll(flags, f, v.Texts); err != nil {
		return fmt.Errorf("%s = %s (%v): %w", v.Field, strings.Join(v.Texts, " and "), v.Origin, err)
	}
	if v.Origin.Stored {
		_ = flags.SetAnnotation(f.Name, fromTable, []string{v.Origin.File})
	}
	return flags.SetAnnotation(f.Name, fromFile, []string{v.Origin.String()})
}

// flags returns the options of a place as its flags, were it alone.
func (k *keyed) flags(ctx context.Context, at *place) (*paceOptions, error) {
	o := &paceOptions{}
	o.config.loaded, o.config.table, o.store.opened = k.o.config.loaded, k.o.config.table, k.o.store.opened
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.addFlags(flags)
	o.addCostFlags(flags, "")
	if !k.o.patient {
		o.addQueueFlags(flags)
	}
	set := func(name string, values ...string) {
		if values[0] != "" {
			_ = setAll(flags, flags.Lookup(name), values) // they were taken before
			for _, origin := range []string{fromEnv, fromFile} {
				if from := k.o.given.Lookup(name); from != nil && from.Annotations[origin] != nil {
					_ = flags.SetAnnotation(name, origin, from.Annotations[origin])
				}
			}
		}
	}
	k.o.given.Visit(func(f *pflag.Flag) {
		switch to := flags.Lookup(f.Name); {
		case to == nil || !f.Changed: // what a file has put in the place of another flag is not given any more
		case f.Name == "cost" && k.o.lines.cost != nil:
		case f.Name == "rate":
			set(f.Name, k.o.limit.rates...)
		default:
			set(f.Name, f.Value.String())
		}
	})
	set("key", at.key)
	set("limit", at.limit)
	set("account", at.account)
	if at.rates != nil {
		set("rate", at.rates...)
	}
	return o, applyLimit(ctx, flags, &o.config, k.std.log)
}

// setAll gives a flag a value, whatever it had.
func setAll(flags *pflag.FlagSet, f *pflag.Flag, texts []string) error {
	several, ok := f.Value.(pflag.SliceValue)
	if !ok {
		return flags.Set(f.Name, texts[0]) // only a rate has several
	}
	if err := several.Replace(texts); err != nil {
		return err
	}
	f.Changed = true
	return nil
}

// forget makes a flag one that was not given.
func forget(f *pflag.Flag) error {
	f.Changed = false
	if several, ok := f.Value.(pflag.SliceValue); ok {
		return several.Replace(nil)
	}
	return f.Value.Set(f.DefValue)
}

func blockedBy(e *config.Effective, flags *pflag.FlagSet) *blockedError {
	v, _ := e.Value("limit")
	b := &blockedError{text: config.Blocked(e.Limit, e.Account, v.Origin.File, v.Origin.Line), code: codeNotGranted}
	if f := flags.Lookup("conflict-exit-code"); f != nil {
		if code, ok := f.Value.(*codeValue); ok {
			b.code = int(*code)
		}
	}
	return b
}
