package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
)

func tokenCommand() *cobra.Command {
	data, ttl, tenant := "", time.Duration(0), uint32(0)
	cmd := &cobra.Command{
		Use:   "token USER --data DIR",
		Short: "Print a token signed with the development key of a data folder",
		Args:  exactly(1, "one user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := filepath.Join(data, auth.DevelopmentKeyFile)
			if _, err := os.Stat(file); err != nil {
				return fmt.Errorf("%w: run `parley serve --dev --data %s` first, which makes the key", err, data)
			}
			keys, err := auth.LoadKeys(file)
			if err != nil {
				return err
			}
			token, err := auth.Sign(keys[0], auth.Claims{
				Tenant: parley.TenantID(tenant), Subject: args[0], Expires: time.Now().Add(ttl),
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "data", "folder of the store")
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long the token holds")
	cmd.Flags().Uint32Var(&tenant, "tenant", 0, "tenant of the user")
	return cmd
}
