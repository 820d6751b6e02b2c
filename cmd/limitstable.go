package cmd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// tableFor is how long what a store has of limits is taken to hold without asking again.
const tableFor = 10 * time.Second

// A limitsTable is what a store has of limits, as of when it was asked. It is kept in a file, too: each call is a process.
type limitsTable struct {
	mu    sync.Mutex
	byURL map[string]fetched
	last  merged
}

// A merged is files with texts in front of them: each line may have a key of its own, and a table thousands of accounts.
type merged struct {
	files *config.Config
	url   string
	at    time.Time
	all   *config.Config
}

// fetched are the texts of a store.
type fetched struct {
	At    time.Time    `json:"at"`
	Texts []store.Text `json:"texts"`
}

func (f fetched) fresh() bool {
	age := time.Since(f.At)
	return age >= 0 && age < tableFor
}

// texts returns what a store has of limits. It is called with mu held. As long as it is away, and that is no error, that is what was there last.
func (t *limitsTable) texts(ctx context.Context, o *storeOptions, log *logger) (fetched, error) {
	f := t.byURL[o.url]
	if f.fresh() {
		return f, nil
	}
	file := tableFile(o.url)
	if kept := readTable(file); kept.At.After(f.At) {
		f = kept
	}
	if !f.fresh() {
		s, err := o.open(log)
		if err != nil {
			return f, err
		}
		table, ok := store.TableOf(s)
		if !ok {
			return fetched{}, nil // a folder has none: there are files
		}
		now := time.Now()
		texts, err := table.Texts(ctx)
		switch {
		case err == nil:
			f = fetched{At: now, Texts: texts}
			writeTable(file, f)
		case isAway(err) && o.onError == localOnError && !f.At.IsZero():
			log.warnOnce(fmt.Sprintf("warning: %v; its limits are those of %s ago", err, round(time.Since(f.At))))
			f.At = now // until it is asked again
		default:
			return f, err
		}
	}
	if t.byURL == nil {
		t.byURL = make(map[string]fetched)
	}
	t.byURL[o.url] = f
	return f, nil
}

// forget has the next one ask the store.
func (t *limitsTable) forget(url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byURL, url)
	if file := tableFile(url); file != "" {
		_ = os.Remove(file) // if it can't be it is old soon
	}
}

// tableFile returns where the texts of a store are kept, "" for nowhere.
func tableFile(url string) string {
	dir, err := os.UserCacheDir()
	if err != nil || !filepath.IsAbs(dir) {
		return ""
	}
	sum := sha256.Sum256([]byte("throttle limits\x00" + url))
	return filepath.Join(dir, "throttle", hex.EncodeToString(sum[:16])+".limits")
}

// readTable returns the texts in a file; none if it can't be read, or is not ours.
func readTable(path string) (f fetched) {
	if path == "" {
		return f
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &f) != nil {
		return fetched{}
	}
	return f
}

// writeTable keeps texts in a file, if it can: it only saves time.
func writeTable(path string, f fetched) {
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "*.tmp")
	if err != nil {
		return
	}
	err = json.NewEncoder(temp).Encode(f)
	if e := temp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
}

// textName returns how a text is named in messages.
func textName(s store.Store, service string) string { return fmt.Sprintf("%v service %s", s, service) }

// with returns what the files say, behind what the store of the call says where that has limits.
func (o *configOptions) with(ctx context.Context, c *config.Config, of storeOptions, log *logger) (*config.Config, error) {
	place, err := of.place()
	if err != nil || !place.Remote() {
		return c, err
	}
	t := o.table
	t.mu.Lock()
	defer t.mu.Unlock()
	f, err := t.texts(ctx, &of, log)
	if err != nil {
		return nil, err
	}
	if m := t.last; m.all != nil && m.files == c && m.url == of.url && m.at.Equal(f.At) {
		return m.all, nil
	}
	s, err := of.open(log)
	if err != nil {
		return nil, err
	}
	var texts []config.Text
	for _, t := range f.Texts {
		texts = append(texts, config.Text{Name: textName(s, t.Name), Data: []byte(t.Text)})
	}
	all, err := c.With(texts)
	if err == nil {
		t.last = merged{c, of.url, f.At, all}
	}
	return all, err
}

// A tableChange changes the limits that a store has.
type tableChange struct {
	store   store.Store
	table   store.Table
	service string
	texts   []store.Text
}

// defaultService is the name of the text of those who name none.
const defaultService = "default"

// changeTable starts to change the limits of a store. The text is that of the service, or the one that has the limit.
func changeTable(ctx context.Context, of *storeOptions, service, limit string, log *logger) (*tableChange, error) {
	s, err := of.open(log)
	if err != nil {
		return nil, err
	}
	table, ok := store.TableOf(s)
	if !ok {
		return nil, errors.New("--store: only a server keeps limits: those of one host are in throttle.toml")
	}
	t := &tableChange{store: s, table: table, service: service}
	if t.texts, err = table.Texts(ctx); err != nil {
		return nil, err
	}
	if service != "" {
		return t, nil
	}
	t.service = defaultService
	for _, text := range t.texts {
		c, err := byname.Of(config.Text{Name: textName(s, text.Name), Data: []byte(text.Text)})
		if err == nil && limit != "" && c.FileOf(limit) != "" {
			t.service = text.Name
		}
	}
	return t, nil
}

// text returns the text of the service; an empty one if there is none.
func (t *tableChange) text() config.Text {
	for _, text := range t.texts {
		if text.Name == t.service {
			return config.Text{Name: textName(t.store, t.service), Data: []byte(text.Text)}
		}
	}
	return config.Text{Name: textName(t.store, t.service)}
}

// check says what is wrong with a text as that of the service, whatever it is now.
func (t *tableChange) check(data []byte) (*config.Config, error) {
	texts := []config.Text{{Name: textName(t.store, t.service), Data: data}}
	c, err := byname.Of(texts...)
	if err != nil {
		return nil, err
	}
	if problems := byname.Problems(c); len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, other := range t.texts {
		if other.Name == t.service {
			continue
		}
		text := config.Text{Name: textName(t.store, other.Name), Data: []byte(other.Text)}
		o, err := byname.Of(text)
		if err != nil {
			return nil, err
		}
		for _, name := range c.Limits() {
			if o.FileOf(name) != "" {
				return nil, fmt.Errorf("limit %s is that of service %s already: change it there, or give this one another name", name, other.Name)
			}
		}
		texts = append(texts, text)
	}
	return byname.Of(texts...)
}

// write puts a text in the place of that of the service, and has the keys go by it that there are. It returns which are others now.
func (t *tableChange) write(ctx context.Context, data []byte) (keys []string, err error) {
	c, err := t.check(data)
	if err != nil {
		return nil, err
	}
	if err := t.table.ReplaceText(ctx, t.service, string(t.text().Data), string(data)); err != nil {
		return nil, fmt.Errorf("%s: %w", textName(t.store, t.service), err)
	}
	return t.apply(ctx, c)
}

// apply has the keys that there are go by the limits, those who wait too.
func (t *tableChange) apply(ctx context.Context, c *config.Config) (changed []string, err error) {
	all, err := t.store.All(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	owner := c.Owners()
	for _, s := range all {
		name, of, ok := owner(s.Key)
		if !ok || s.Err != nil {
			continue
		}
		e, err := c.Lookup(name, of, nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		blocked := pacer.Limits{pacer.Limit{}}
		limits, unit := blocked, pacer.Events
		if !e.Blocked {
			if e.Texts("rate") == nil && e.Texts("every") == nil { // each call says its own
				if s.Limited && s.Limits.Equal(blocked) {
					errs = append(errs, fmt.Errorf("key %q stays blocked, as limit %s has no rate: throttle set --store URL --key %s --rate N/UNIT", s.Key, name, s.Key))
				}
				continue
			}
			if limits, unit, err = byname.RateOf(e).Limits(); err != nil {
				errs = append(errs, err)
				continue
			}
		} else if s.Bytes {
			unit = pacer.Bytes
		}
		if s.Limited && s.Limits.Equal(limits) {
			continue
		}
		k, err := t.store.Open(ctx, s.Key, store.Options{Bytes: unit == pacer.Bytes, Create: true})
		if err == nil {
			err = k.ChangeLimits(ctx, func(pacer.Limits) (pacer.Limits, error) { return limits, nil })
			err = errors.Join(err, k.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("key %q: %w", s.Key, err))
			continue
		}
		changed = append(changed, s.Key)
	}
	return changed, errors.Join(errs...)
}

// saysKeys says for how many keys the limits have changed.
func saysKeys(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return fmt.Sprintf("; it holds for %s: %s", plural(len(keys), "key"), strings.Join(keys, ", "))
}
