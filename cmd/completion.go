package cmd

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newCompletionCommand returns the command that prints completions. That of cobra takes any word for a question.
func newCompletionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script",
		Long: `Prints what makes a shell complete the arguments of throttle:

  bash        source <(throttle completion bash)
  zsh         throttle completion zsh > "${fpath[1]}/_throttle"
  fish        throttle completion fish > ~/.config/fish/completions/throttle.fish
  powershell  throttle completion powershell | Out-String | Invoke-Expression`,
		Hidden:    true,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(c *cobra.Command, args []string) error {
			shell := ""
			if len(args) == 1 {
				shell = args[0]
			}
			root := c.Root()
			switch shell {
			case "bash":
				return root.GenBashCompletionV2(std.out, true)
			case "zsh":
				return root.GenZshCompletion(std.out)
			case "fish":
				return root.GenFishCompletion(std.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(std.out)
			}
			return fmt.Errorf("completion of which shell? %s", c.Use)
		},
	}
}
