package node

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metric is one figure of Stats under its name for Prometheus.
type metric struct {
	name, help string
	counter    bool // else it is a level
	of         func(*Stats) float64
}

func level[T int | int64](name, help string, of func(*Stats) T) metric {
	return metric{name, help, false, func(s *Stats) float64 { return float64(of(s)) }}
}

func counter(name, help string, of func(*Stats) uint64) metric {
	return metric{name, help, true, func(s *Stats) float64 { return float64(of(s)) }}
}

// truth is 1 or 0.
func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// exported is what /metrics tells, beside Go's own figures. docs/OPERATING.md
// has the same table; a test compares them.
var exported = []metric{
	counter("parley_engine_applied_total", "Commands applied.", func(s *Stats) uint64 { return s.Engine.Applied }),
	counter("parley_engine_refused_total", "Commands that apply refused.", func(s *Stats) uint64 { return s.Engine.Refused }),
	counter("parley_engine_groups_total", "Groups of commands that became durable with one write.", func(s *Stats) uint64 { return s.Engine.Groups }),
	counter("parley_engine_flushes_total", "Heads written as segments.", func(s *Stats) uint64 { return s.Engine.Flushes }),
	counter("parley_engine_refused_full_total", "Batches refused because heads wait for their flush.", func(s *Stats) uint64 { return s.Engine.RefusedFull }),
	counter("parley_engine_refused_disk_total", "Batches refused because the disk is nearly full.", func(s *Stats) uint64 { return s.Engine.RefusedDisk }),
	counter("parley_engine_refused_rows_total", "Batches refused because there are too many rows.", func(s *Stats) uint64 { return s.Engine.RefusedRows }),
	level("parley_engine_rows", "Rows in memory.", func(s *Stats) int64 { return s.Engine.Rows }),
	level("parley_engine_rows_max", "Rows that memory may hold.", func(s *Stats) int64 { return s.Engine.RowsMax }),
	level("parley_engine_heads_waiting", "Closed heads that wait for their flush.", func(s *Stats) int { return s.Engine.HeadsWaiting }),
	level("parley_engine_heads_max", "Heads that memory may hold.", func(s *Stats) int { return s.Engine.HeadsMax }),
	level("parley_engine_segments_open", "Segments open for reading.", func(s *Stats) int { return s.Engine.SegmentsOpen }),
	level("parley_engine_segments_open_max", "Segments that may be open for reading.", func(s *Stats) int { return s.Engine.SegmentsOpenMax }),
	level("parley_engine_disk_low", "1 while sends are refused because the disk is nearly full.", func(s *Stats) int {
		if s.Engine.DiskLow {
			return 1
		}
		return 0
	}),

	level("parley_gateway_sessions", "Sessions.", func(s *Stats) int { return s.Gateway.Sessions }),
	level("parley_gateway_outbox_bytes", "What waits for all sessions.", func(s *Stats) int64 { return s.Gateway.OutboxBytes }),
	counter("parley_gateway_opened_total", "Sessions opened.", func(s *Stats) uint64 { return s.Gateway.Opened }),
	counter("parley_gateway_ended_total", "Sessions ended.", func(s *Stats) uint64 { return s.Gateway.Ended }),
	counter("parley_gateway_requests_total", "Requests taken.", func(s *Stats) uint64 { return s.Gateway.Requests }),
	counter("parley_gateway_frames_total", "Replies and pushes written.", func(s *Stats) uint64 { return s.Gateway.Frames }),
	counter("parley_gateway_writes_total", "Writes to sockets. Frames for each write decide what a frame costs.", func(s *Stats) uint64 { return s.Gateway.Writes }),
	counter("parley_gateway_bytes_total", "Bytes written to sockets.", func(s *Stats) uint64 { return s.Gateway.Bytes }),
	counter("parley_gateway_pushes_total", "Pushes, one for each session.", func(s *Stats) uint64 { return s.Gateway.Pushes }),
	counter("parley_gateway_pushes_dropped_total", "Pushes dropped; their clients sync.", func(s *Stats) uint64 { return s.Gateway.PushesDropped }),
	counter("parley_gateway_hints_total", "Hints, one for each session.", func(s *Stats) uint64 { return s.Gateway.Hints }),
	counter("parley_gateway_hints_dropped_total", "Hints dropped because an outbox was full.", func(s *Stats) uint64 { return s.Gateway.HintsDropped }),
	counter("parley_gateway_panics_total", "Connections closed because handling them panicked.", func(s *Stats) uint64 { return s.Gateway.Panics }),
	counter("parley_gateway_refused_handshakes_total", "Handshakes refused: malformed, a strange origin, a bad token.", func(s *Stats) uint64 { return s.Gateway.Refused.Handshakes }),
	counter("parley_gateway_refused_authenticating_total", "Handshakes refused: too many at once.", func(s *Stats) uint64 { return s.Gateway.Refused.Authenticating }),
	counter("parley_gateway_refused_sessions_total", "Handshakes refused: too many sessions.", func(s *Stats) uint64 { return s.Gateway.Refused.Sessions }),
	counter("parley_gateway_refused_user_sessions_total", "Handshakes refused: too many sessions of one user.", func(s *Stats) uint64 { return s.Gateway.Refused.UserSessions }),
	counter("parley_gateway_refused_stopping_total", "Handshakes and requests refused while stopping.", func(s *Stats) uint64 { return s.Gateway.Refused.Stopping }),
	counter("parley_gateway_refused_frames_total", "Sessions closed for a forbidden frame.", func(s *Stats) uint64 { return s.Gateway.Refused.Frames }),
	counter("parley_gateway_refused_messages_total", "Sessions closed for a payload that cannot be read.", func(s *Stats) uint64 { return s.Gateway.Refused.Messages }),
	counter("parley_gateway_refused_requests_total", "Requests refused: too many of the session unanswered.", func(s *Stats) uint64 { return s.Gateway.Refused.Requests }),
	counter("parley_gateway_refused_rate_total", "Requests refused: too many of the session a second.", func(s *Stats) uint64 { return s.Gateway.Refused.Rate }),
	counter("parley_gateway_closed_floods_total", "Sessions closed for going on past their rate.", func(s *Stats) uint64 { return s.Gateway.Refused.Floods }),
	counter("parley_gateway_closed_slow_replies_total", "Sessions closed because replies piled up.", func(s *Stats) uint64 { return s.Gateway.Refused.SlowReplies }),
	counter("parley_gateway_closed_slow_reads_total", "Sessions closed because they did not read for too long.", func(s *Stats) uint64 { return s.Gateway.Refused.SlowReads }),
	counter("parley_gateway_closed_dead_total", "Sessions closed after missed heartbeats.", func(s *Stats) uint64 { return s.Gateway.Refused.Dead }),
	counter("parley_gateway_closed_expired_total", "Sessions closed because their token expired.", func(s *Stats) uint64 { return s.Gateway.Refused.Expired }),
	counter("parley_gateway_closed_replaced_total", "Sessions closed because another one uses their stream.", func(s *Stats) uint64 { return s.Gateway.Refused.Replaced }),
	counter("parley_gateway_closed_revoked_total", "Sessions closed because their device was revoked.", func(s *Stats) uint64 { return s.Gateway.Refused.Revoked }),
	counter("parley_gateway_dropped_outbox_total", "Pushes dropped because the session's outbox was full.", func(s *Stats) uint64 { return s.Gateway.Refused.Outboxes }),
	counter("parley_gateway_dropped_memory_total", "Pushes dropped because all outboxes together were full.", func(s *Stats) uint64 { return s.Gateway.Refused.Memory }),

	counter("parley_cluster_requests_total", "Requests routed.", func(s *Stats) uint64 { return s.Cluster.Requests }),
	counter("parley_cluster_refused_total", "Requests answered with an error.", func(s *Stats) uint64 { return s.Cluster.Refused }),
	counter("parley_cluster_repeats_total", "Sends of before, whose receipt was read.", func(s *Stats) uint64 { return s.Cluster.Repeats }),
	counter("parley_cluster_failed_total", "Requests that met an error without a code.", func(s *Stats) uint64 { return s.Cluster.Failed }),
	counter("parley_cluster_delivered_total", "Events that somebody online was told of.", func(s *Stats) uint64 { return s.Cluster.Delivered }),
	counter("parley_cluster_hints_total", "Hints of presence, typing and profiles; each may go to many sessions.", func(s *Stats) uint64 { return s.Cluster.Hints }),
	counter("parley_cluster_typing_dropped_total", "Typing that came too often, and was not passed on.", func(s *Stats) uint64 { return s.Cluster.TypingDropped }),
	counter("parley_cluster_farewells_dropped_total", "Devices that went and were not written down: too many waited.", func(s *Stats) uint64 { return s.Cluster.FarewellsDropped }),
	counter("parley_cluster_overloaded_submissions_total", "Requests refused: too many batches on their way.", func(s *Stats) uint64 { return s.Cluster.OverloadedSubmissions }),
	counter("parley_cluster_overloaded_queue_total", "Requests refused: too many wait for a worker.", func(s *Stats) uint64 { return s.Cluster.OverloadedQueue }),
	counter("parley_cluster_overloaded_users_total", "Requests refused: too many of the user wait for a worker.", func(s *Stats) uint64 { return s.Cluster.OverloadedUsers }),
	counter("parley_cluster_overloaded_watches_total", "Requests refused: too much is watched.", func(s *Stats) uint64 { return s.Cluster.OverloadedWatches }),
	level("parley_cluster_submissions", "Batches on their way through the log.", func(s *Stats) int { return s.Cluster.Submissions }),
	level("parley_cluster_submissions_max", "Batches that may be on their way.", func(s *Stats) int { return s.Cluster.SubmissionsMax }),
	level("parley_cluster_queue", "Requests that wait for a worker.", func(s *Stats) int { return s.Cluster.Queue }),
	level("parley_cluster_queue_max", "Requests that may wait for a worker.", func(s *Stats) int { return s.Cluster.QueueMax }),
	level("parley_cluster_watches", "Conversations that sessions have open, each counted for each session.", func(s *Stats) int { return s.Cluster.Watches }),
	level("parley_cluster_watches_max", "Conversations that sessions may have open.", func(s *Stats) int { return s.Cluster.WatchesMax }),
	level("parley_cluster_watched", "Members of open conversations, who are followed.", func(s *Stats) int { return s.Cluster.Watched }),
	level("parley_cluster_watched_max", "Members who may be followed.", func(s *Stats) int { return s.Cluster.WatchedMax }),
	level("parley_cluster_farewells", "Devices that have gone and are not written down yet.", func(s *Stats) int { return s.Cluster.Farewells }),
	level("parley_cluster_farewells_max", "Devices that may wait to be written down.", func(s *Stats) int { return s.Cluster.FarewellsMax }),

	level("parley_presence_users", "Users with a session here.", func(s *Stats) int { return s.Presence.Users }),
	level("parley_presence_watched", "Users whose coming and going is followed.", func(s *Stats) int { return s.Presence.Watched }),
	level("parley_presence_queue", "Writes that wait for Redis.", func(s *Stats) int { return s.Presence.Queue }),
	level("parley_presence_queue_max", "Writes that may wait for Redis.", func(s *Stats) int { return s.Presence.QueueMax }),
	counter("parley_presence_dropped_total", "Writes dropped because too many waited; all is written anew then.", func(s *Stats) uint64 { return s.Presence.Dropped }),
	counter("parley_presence_rewrites_total", "Times that all was written anew.", func(s *Stats) uint64 { return s.Presence.Rewrites }),
	counter("parley_presence_written_total", "Entries written or removed in Redis.", func(s *Stats) uint64 { return s.Presence.Written }),
	counter("parley_presence_lookups_total", "Users whose entry was asked for.", func(s *Stats) uint64 { return s.Presence.Lookups }),
	counter("parley_presence_cache_hits_total", "Of those, answered from the cache here.", func(s *Stats) uint64 { return s.Presence.CacheHits }),
	counter("parley_presence_beats_total", "Renewals of the lease.", func(s *Stats) uint64 { return s.Presence.Beats }),
	counter("parley_presence_beats_missed_total", "Renewals of the lease that failed.", func(s *Stats) uint64 { return s.Presence.BeatsMissed }),
	counter("parley_presence_void_total", "Entries removed that gateways left which are gone.", func(s *Stats) uint64 { return s.Presence.Void }),
	counter("parley_presence_void_dropped_total", "Such entries left for another time, because too many waited.", func(s *Stats) uint64 { return s.Presence.VoidDropped }),
	counter("parley_presence_degraded_total", "Answers without Redis.", func(s *Stats) uint64 { return s.Presence.Degraded }),
	level("parley_presence_away", "1 while Redis can not be reached.", func(s *Stats) int { return truth(!s.Presence.DegradedSince.IsZero()) }),
	level("parley_presence_superseded", "1 while another gateway goes by our name.", func(s *Stats) int { return truth(s.Presence.Superseded) }),

	level("parley_http_connections", "Connections that are no sessions.", func(s *Stats) int64 { return s.Connections }),
	level("parley_http_connections_max", "Connections without a session that there may be.", func(s *Stats) int64 { return s.ConnectionsMax }),
	counter("parley_http_connections_refused_total", "Connections closed because there were too many.", func(s *Stats) uint64 { return s.ConnectionsRefused }),

	counter("parley_auth_checked_total", "Tokens that held, by their signature.", func(s *Stats) uint64 { return s.Auth.Checked }),
	counter("parley_auth_remembered_total", "Tokens that held, by memory.", func(s *Stats) uint64 { return s.Auth.Remembered }),
	counter("parley_auth_refused_total", "Tokens that were refused.", func(s *Stats) uint64 { return s.Auth.Refused }),
	level("parley_auth_entries", "Tokens remembered.", func(s *Stats) int { return s.Auth.Entries }),
}

// collector reads the stats once for each scrape.
type collector struct {
	node  *Node
	descs []*prometheus.Desc
}

func newCollector(n *Node) *collector {
	c := &collector{node: n}
	for _, m := range exported {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, nil, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	stats := c.node.Stats()
	for i, m := range exported {
		kind := prometheus.GaugeValue
		if m.counter {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(c.descs[i], kind, m.of(&stats))
	}
}

func (n *Node) metrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "parley_build_info", Help: "1, with the version as a label.", ConstLabels: prometheus.Labels{"version": version()},
	})
	build.Set(1)
	r.MustRegister(newCollector(n), build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
