// Command parley is the chat server and its tools in one binary.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to standard output,
// errors to standard error.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// errUsage marks a call that was wrong in itself.
var errUsage = errors.New("wrong usage")

func run(args []string) int {
	root := &cobra.Command{
		Use:     "parley",
		Short:   "A chat server that an operator trusts with every message",
		Version: version(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: no command %q", errUsage, args[0])
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.AddCommand(serveCommand(), tokenCommand(), chatCommand(), benchCommand(), verifyCommand(), demoCommand())
	root.SetArgs(args)
	switch err := root.Execute(); {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "parley:", err)
		return 2
	default:
		fmt.Fprintln(os.Stderr, "parley:", err)
		return 1
	}
}

// exactly wants n arguments, named in what the user reads.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%w: want %s", errUsage, what)
		}
		return nil
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return info.Main.Version + " (" + s.Value + ")"
		}
	}
	return info.Main.Version
}
