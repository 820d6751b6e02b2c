package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/finetimer"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// storeOptions are the flags that say where the state of keys is, and what to do while that is away.
type storeOptions struct {
	url     string
	timeout time.Duration
	onError string
	share   int

	opened *openStores
}

// openStores are those that this process has open: keys of one server have one connection to it.
type openStores struct {
	mu    sync.Mutex
	byURL map[string]store.Store
}

const storeTimeout = 5 * time.Second

// What --on-store-error may be.
const (
	failOnError  = "fail"
	localOnError = "local"
	waitOnError  = "wait"
)

func (o *storeOptions) addFlags(f *pflag.FlagSet) {
	o.addURLFlag(f)
	f.Lookup("store").Usage = "keep it at `URL`, for many hosts: redis://HOST, dynamodb://TABLE"
	f.StringVar(&o.onError, "on-store-error", failOnError, "`WHAT` to do while it is away: fail, local, or wait")
	f.IntVar(&o.share, "share", 1, "with local, each host has 1/`N` of the rate")
}

func (o *storeOptions) addURLFlag(f *pflag.FlagSet) {
	if o.opened == nil {
		o.opened = &openStores{byURL: make(map[string]store.Store)}
	}
	f.Var((*name)(&o.url), "store", "it is kept at `URL`, such as redis://HOST")
	f.DurationVar(&o.timeout, "store-timeout", storeTimeout, "it is an error if the store is away for longer than `DURATION`")
}

// addTableFlags adds those of a command that changes what a store has.
func (o *storeOptions) addTableFlags(f *pflag.FlagSet, service *string) {
	o.addURLFlag(f)
	f.Lookup("store").Usage = "change what the store at `URL` has for all hosts"
	f.Var((*name)(service), "service", "in the part of it that belongs to `NAME`")
}

// env returns the flags as variables, for those who ask for grants of the same key: nil where that is in the usual place.
func (o *storeOptions) env() []string {
	if o.url == "" {
		return nil
	}
	vars := []string{"THROTTLE_STORE=" + o.url}
	if o.timeout != storeTimeout {
		vars = append(vars, "THROTTLE_STORE_TIMEOUT="+o.timeout.String())
	}
	if o.onError != failOnError {
		vars = append(vars, "THROTTLE_ON_STORE_ERROR="+o.onError)
	}
	if o.share > 1 {
		vars = append(vars, "THROTTLE_SHARE="+strconv.Itoa(o.share))
	}
	return vars
}

// check says what is wrong with the flags.
func (o *storeOptions) check() error {
	switch {
	case o.onError != failOnError && o.onError != localOnError && o.onError != waitOnError && o.onError != "":
		return fmt.Errorf("--on-store-error %q: it is fail, local or wait", o.onError)
	case o.timeout <= 0:
		return fmt.Errorf("--store-timeout %v: it is more than 0", o.timeout)
	case o.share < 1 && o.onError != "":
		return fmt.Errorf("--share %d: it is 1 or more, how many hosts there are", o.share)
	case o.share > 1 && o.onError != localOnError:
		return errors.New("--share goes with --on-store-error local")
	}
	return nil
}

// place returns what the URL says.
func (o *storeOptions) place() (store.Place, error) {
	p, err := store.Parse(cmp.Or(o.url, "file:"))
	if err != nil {
		return p, fmt.Errorf("--store: %w", err)
	}
	return p, nil
}

// open returns the store, which stays open until the process ends.
func (o *storeOptions) open(log *logger) (store.Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.opened.mu.Lock()
	defer o.opened.mu.Unlock()
	if s := o.opened.byURL[o.url]; s != nil {
		return s, nil
	}
	s, err := o.connect(log)
	if err != nil {
		return nil, err
	}
	o.opened.byURL[o.url] = s
	return s, nil
}

func (o *storeOptions) connect(log *logger) (store.Store, error) {
	p, err := o.place()
	if err != nil {
		return nil, err
	}
	switch p.Scheme {
	case "memory":
		return store.Memory(pacer.WithTimer(func(fire func()) pacer.Timer { return finetimer.New(fire) })), nil
	case "file":
		return o.folder(p.Path)
	}
	away := o.timeout
	if o.onError == waitOnError {
		away = 1<<63 - 1
	}
	s, err := dial(p, o.timeout, away)
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	if o.onError != localOnError {
		return s, nil
	}
	here, err := o.folder("")
	if err != nil {
		return nil, err
	}
	return &store.Fallback{
		Store: s, Local: localStore{here, s}, Share: o.share, Away: isAway,
		Warn: func(text string) { log.warnOnce("warning: " + text) },
	}, nil
}

// folder returns the store of a folder of state files, "" for the usual one.
func (*storeOptions) folder(path string) (store.Store, error) {
	if path != "" {
		return folder(path), nil
	}
	dir, err := lockfile.DefaultDir(os.Getenv)
	return folder(dir), err
}

// A localStore is one of this host in the place of another one: its keys are named after those, so that they meet no others.
type localStore struct {
	store.Store
	of store.Store
}

// Open is that of store.Store.
func (s localStore) Open(ctx context.Context, key string, o store.Options) (store.Key, error) {
	return s.Store.Open(ctx, key+" of "+s.of.String(), o)
}
