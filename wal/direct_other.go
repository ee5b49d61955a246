//go:build !linux

package wal

import "github.com/cockroachdb/pebble/v2/vfs"

func openDirect(string) (vfs.File, bool) { return nil, false }
