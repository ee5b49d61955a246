package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// schema is the version of the report's form.
const schema = 1

// Report is the outcome of a run. As JSON it is one object, whose metrics are
// flat, with the unit in the name.
type Report struct {
	Schema     int                           `json:"schema"`
	Command    string                        `json:"command"`
	Commit     string                        `json:"commit"`
	Machine    Machine                       `json:"machine"`
	ForeignCPU float64                       `json:"foreign_cpu_pct"` // of the machine, while measured
	Params     map[string]any                `json:"params"`
	Metrics    map[string]float64            `json:"metrics"`
	Baselines  map[string]map[string]float64 `json:"baselines"`
	// Violations names the first of them; Metrics["violations"] counts all.
	Violations []string `json:"violations,omitempty"`
}

// Machine is where a report was made.
type Machine struct {
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu,omitempty"`
	MemoryMiB  uint64 `json:"memory_mib,omitempty"`
	Kernel     string `json:"kernel,omitempty"`
	FileSystem string `json:"file_system,omitempty"` // of the server's data
}

// Failed reports whether a promise was broken.
func (r *Report) Failed() bool { return r.Metrics["violations"] > 0 }

// WriteJSON writes the report as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// rows are the lines of the text, each with the metrics that it shows; a line
// none of whose metrics is known is left out.
var rows = []struct {
	name    string
	metrics []string
	format  string
}{
	{"messages", []string{"msgs_per_s", "deliveries_per_s"}, "%.0f acknowledged/s, %.0f delivered/s"},
	{"send→ack", []string{"ack_ms_p50", "ack_ms_p90", "ack_ms_p99", "ack_ms_p999", "ack_ms_max"}, "p50 %.3g, p90 %.3g, p99 %.3g, p99.9 %.3g, max %.3g ms"},
	{"send→deliver", []string{"deliver_ms_p50", "deliver_ms_p90", "deliver_ms_p99", "deliver_ms_p999", "deliver_ms_max"}, "p50 %.3g, p90 %.3g, p99 %.3g, p99.9 %.3g, max %.3g ms"},
	{"sent late by", []string{"late_ms_p50", "late_ms_p99", "late_ms_max"}, "p50 %.3g, p99 %.3g, max %.3g ms (the harness; charged above)"},
	{"server", []string{"cpu_us_per_msg", "server_cores", "rss_mb"}, "%.2f µs CPU/message, %.2f cores, at most %.0f MiB resident"},
	{"disk", []string{"disk_bytes_per_msg", "flushes"}, "%.0f bytes written/message, %.0f heads flushed"},
	{"harness", []string{"harness_cpu_us_per_msg", "harness_cores", "harness_allocs_per_msg"}, "%.2f µs CPU/message, %.2f cores, %.2f allocations/message"},
	{"batches", []string{"msgs_per_read", "requests_per_write"}, "%.1f messages/read, %.1f requests/write of the harness"},
	{"watermarks", []string{"marks_per_msg", "marks_told_per_msg"}, "%.2f sent/message, %.2f heard/message"},
	{"set up", []string{"connects_per_s", "creates_per_s"}, "%.0f connects/s, %.0f conversations/s"},
	{"trouble", []string{"refused", "pushes_lost", "repaired", "violations"}, "%.0f refusals, %.0f pushes lost, %.0f messages pulled for them, %.0f violations"},
}

// WriteText writes the report for a person.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\ncommit %s\n%d cores (%s), %d MiB, %s, %s; others took %.1f %% of the machine\n", r.Command, r.Commit,
		r.Machine.Cores, or(r.Machine.CPU, "?"), r.Machine.MemoryMiB, or(r.Machine.Kernel, "?"), or(r.Machine.FileSystem, "file system unknown"), r.ForeignCPU)
	for i, name := range sortedKeys(r.Params) {
		fmt.Fprintf(&b, "%s%s %v", map[bool]string{true: "", false: ", "}[i == 0], strings.ReplaceAll(name, "_", " "), r.Params[name])
	}
	b.WriteString("\n\n")
	for _, row := range rows {
		values, known := make([]any, len(row.metrics)), true
		for i, name := range row.metrics {
			v, ok := r.Metrics[name]
			values[i], known = v, known && ok
		}
		if known {
			fmt.Fprintf(&b, "%-13s "+row.format+"\n", append([]any{row.name}, values...)...)
		}
	}
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "VIOLATION     %s\n", v)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func sortedKeys(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// words are the first violations, as the end of an error.
func (f *flaws) words() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.first) == 0 {
		return ""
	}
	return ": " + strings.Join(f.first[:min(3, len(f.first))], "; ")
}

// report puts together what was measured between two readings.
func (r *run) report(metrics map[string]float64, before, after usage) *Report {
	o := &r.options
	var t tally
	r.still(func() {
		for _, u := range r.users {
			t.add(u.tally)
		}
	})
	seconds := o.Duration.Seconds()
	metrics["msgs_per_s"] = float64(t.acknowledged) / seconds
	metrics["deliveries_per_s"] = float64(t.delivered) / seconds
	ack, deliver := r.latencies.merged()
	addPercentiles(metrics, "ack", ack)
	addPercentiles(metrics, "deliver", deliver)
	addPercentiles(metrics, "late", r.late)
	r.addTotals(metrics, t)
	dir := ""
	if o.Server != nil {
		dir = o.Server.Data()
	}
	report := &Report{
		Schema: schema, Command: command(), Commit: commit(), Machine: thisMachine(dir),
		Params: r.params(), Metrics: metrics, Baselines: map[string]map[string]float64{},
	}
	report.ForeignCPU = r.addUsage(metrics, before, after, float64(t.acknowledged))
	r.flaws.mu.Lock()
	defer r.flaws.mu.Unlock()
	metrics["violations"] = float64(r.flaws.count)
	for kind, n := range r.flaws.kinds {
		metrics["violations_"+kind] = float64(n)
	}
	report.Violations = slices.Clone(r.flaws.first)
	return report
}

// addTotals adds what was counted over the whole run.
func (r *run) addTotals(metrics map[string]float64, t tally) {
	var sent float64
	for i := range r.conversations {
		for side := range r.conversations[i].sides {
			sent += float64(r.conversations[i].sides[side].acks.count)
		}
	}
	metrics["messages"] = sent
	metrics["refused"] = float64(t.refused)
	metrics["pushes_lost"] = float64(t.pushesLost)
	metrics["repaired"] = float64(t.repaired)
	if r.options.Receipts && sent > 0 {
		metrics["marks_per_msg"] = float64(t.marks) / sent
		metrics["marks_told_per_msg"] = float64(t.marksTold) / sent
	}
	if t.reads > 0 && t.writes > 0 {
		metrics["msgs_per_read"] = float64(t.read) / float64(t.reads)
		metrics["requests_per_write"] = float64(t.written) / float64(t.writes)
	}
}

// addUsage adds what the processes cost in the measured window, and returns the
// share of the machine that neither of them took.
func (r *run) addUsage(metrics map[string]float64, before, after usage, messages float64) float64 {
	wall := after.at.Sub(before.at)
	harness := after.harness - before.harness
	server := after.server - before.server
	if messages > 0 {
		metrics["harness_allocs_per_msg"] = float64(after.allocations-before.allocations) / messages
	}
	if messages > 0 && harness > 0 {
		metrics["harness_cpu_us_per_msg"] = float64(harness.Microseconds()) / messages
		metrics["harness_cores"] = harness.Seconds() / wall.Seconds()
	}
	pid := r.options.Server.pid()
	if pid == 0 {
		return 0
	}
	if messages > 0 && server > 0 {
		metrics["cpu_us_per_msg"] = float64(server.Microseconds()) / messages
		metrics["server_cores"] = server.Seconds() / wall.Seconds()
		metrics["disk_bytes_per_msg"] = float64(after.written-before.written) / messages
	}
	if before.flushes >= 0 && after.flushes >= 0 {
		metrics["flushes"] = after.flushes - before.flushes
	}
	if peak, err := peakMemory(pid); err == nil {
		metrics["rss_mb"] = float64(peak) / (1 << 20)
	}
	foreign := after.machine - before.machine - harness - server
	cores := float64(thisMachine("").Cores)
	return max(0, 100*foreign.Seconds()/(wall.Seconds()*cores))
}

func (r *run) params() map[string]any {
	o := &r.options
	p := map[string]any{
		"users": o.Users, "conversations": o.Conversations, "duration_s": o.Duration.Seconds(), "warmup_s": o.Warmup.Seconds(),
		"receipts": o.Receipts, "size": o.Size, "subprotocol": o.Subprotocol, "seed": o.Seed,
	}
	if o.Rate > 0 {
		p["rate"] = o.Rate
	} else {
		p["in_flight"] = o.InFlight
	}
	return p
}

// command is this process's own, as it was called.
func command() string {
	arguments := slices.Clone(os.Args)
	arguments[0] = "parley"
	return strings.Join(arguments, " ")
}

// commit is what this binary was built from; an asterisk says that it was
// changed since.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "*"
		}
	}
	return revision + changed
}
