package main

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/parleychat/parley/verify"
)

func verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Prove that a data folder is whole, or name each flaw",
		Long: `Verify reads a data folder offline and changes nothing there. It folds the
log by rules of its own and counts again everything the server derives:
sequences, streams, members, watermarks, unread. It holds about 100 bytes of
memory for each message. A server that has the folder open must be stopped.

Exit status 0 says that the folder is sound, 1 that it is not.`,
		Args: exactly(1, "one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := verify.Folder(vfs.Default, args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			_, _ = fmt.Fprintf(out, "partitions     %d\nconversations  %d\nusers          %d\nsegments       %d\nmessages       %d in segments\ncut            record %d\nlog            to record %d, %d behind the cut\n",
				r.Partitions, len(r.Model.Conversations), len(r.Model.Users), r.Segments, r.Messages, r.Cut, r.Next-1, r.Replayed)
			if r.Torn != "" {
				_, _ = fmt.Fprintf(out, "torn           %s: the last write before a stop; nothing in it was acknowledged\n", r.Torn)
			}
			for _, flaw := range r.Flaws {
				_, _ = fmt.Fprintln(out, "flaw           "+flaw)
			}
			if n := len(r.Flaws); n > 0 {
				return fmt.Errorf("%s: %d flaws; keep the folder as it is and restore it from a backup", args[0], n)
			}
			_, _ = fmt.Fprintln(out, "sound")
			return nil
		},
	}
}
