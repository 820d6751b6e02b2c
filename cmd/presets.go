package cmd

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/preset"
)

func newPresetsCommand(std streams) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "presets [flags] [NAME]...",
		Short: "Show what --preset knows of a tool",
		Long: `Shows the presets: which output of a tool means that the remote throttles us,
which failures are worth another attempt, and what keeps the tool from calling
again by itself, each with its sources.`,
		Example: `  throttle presets
  throttle presets aws`,
		ValidArgs: preset.Names(),
		RunE: func(_ *cobra.Command, names []string) error {
			var presets []preset.Preset
			for _, name := range names {
				p, err := preset.Lookup(name)
				if err != nil {
					return err
				}
				presets = append(presets, p)
			}
			switch {
			case asJSON && len(names) == 0:
				return preset.WriteJSON(std.out, preset.All())
			case asJSON:
				return preset.WriteJSON(std.out, presets)
			case len(names) == 0:
				return preset.WriteList(std.out)
			}
			for _, p := range presets {
				if err := p.Write(std.out); err != nil {
					return err
				}
			}
			return nil
		},
	}
	addGroups(c, newGroup("Output", func(f *pflag.FlagSet) { f.BoolVar(&asJSON, "json", false, "print JSON") }))
	return c
}
