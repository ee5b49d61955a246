package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// thisMachine describes where a report was made; dir is where the server keeps
// its data, empty where that is unknown.
func thisMachine(dir string) Machine {
	m := Machine{Cores: runtime.NumCPU()}
	if kib, err := procField("/proc/meminfo", "MemTotal:"); err == nil {
		m.MemoryMiB = kib >> 10
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if dir != "" {
		m.FileSystem = fileSystem(dir)
	}
	return m
}

// fileSystemNames are those that data folders live on.
var fileSystemNames = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", 0x2FC12FC1: "zfs",
}

func fileSystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return ""
	}
	if name, ok := fileSystemNames[st.Type]; ok {
		return name
	}
	return fmt.Sprintf("%#x", st.Type)
}
