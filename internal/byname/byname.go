// Package byname says what the texts in throttle.toml mean: it is where config, which knows no rates, meets pacer, which knows no
// files. The command line and the library go by it.
package byname

import (
	"os"

	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/internal/preset"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// Checks returns what is right in a file.
func Checks() config.Checks {
	return config.Checks{
		Rate: func(text string) error {
			_, _, err := pacer.ParseLimit(text)
			return err
		},
		Every: func(text string) error {
			_, err := pacer.ParseEvery(text)
			return err
		},
		Algorithm: func(text string) error {
			_, err := pacer.ParseAlgorithm(text)
			return err
		},
		Preset: func(text string) error {
			_, err := preset.Lookup(text)
			return err
		},
		Store:       checkStore,
		RateOptions: []string{"align", "zone"},
	}
}

// checkStore accepts what --store does.
func checkStore(text string) error {
	_, err := store.Parse(text)
	return err
}

// Of reads what a store keeps.
func Of(texts ...config.Text) (*config.Config, error) { return config.Of(texts, Checks()) }

// Load reads the files: the one that is named, or the usual ones.
func Load(name string) (*config.Config, error) {
	return config.Load(config.Options{File: name, Getenv: os.Getenv, Checks: Checks()})
}
