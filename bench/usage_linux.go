package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of CPU times in /proc, on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// readUsage reads the counters; pid is 0 where the server is not ours.
func readUsage(pid int) (usage, error) {
	u := usage{at: time.Now()}
	var self unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return u, fmt.Errorf("rusage: %w", err)
	}
	u.harness = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	var err error
	if u.machine, err = machineCPU(); err != nil || pid == 0 {
		return u, err
	}
	if u.server, err = processCPU(pid); err != nil {
		return u, err
	}
	u.written, err = writtenBytes(pid)
	return u, err
}

// machineCPU is what all processes together, and the hypervisor, have taken.
func machineCPU() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: %q", line)
	}
	// user nice system idle iowait irq softirq steal
	var ticks uint64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

func processCPU(pid int) (time.Duration, error) {
	name := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	// The second field is a name in brackets and may hold anything.
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("%s: %q", name, b)
	}
	user, err := strconv.ParseUint(fields[11], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	system, err := strconv.ParseUint(fields[12], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return time.Duration(user+system) * clockTick, nil
}

func writtenBytes(pid int) (uint64, error) {
	return procField(fmt.Sprintf("/proc/%d/io", pid), "write_bytes:")
}

// peakMemory is the most that a process has held resident, in bytes.
func peakMemory(pid int) (uint64, error) {
	kib, err := procField(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	return kib << 10, err
}

// procField reads the number behind a name from a file of lines.
func procField(file, name string) (uint64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return strconv.ParseUint(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no %s", file, name)
}
