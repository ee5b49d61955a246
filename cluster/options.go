package cluster

import "log/slog"

// Options tune a router. The zero value is ready for production.
type Options struct {
	// Workers is how many requests that may wait are carried out at once: reads
	// of history, lists, changes of members. More of them read more at once, and
	// take more from the traffic. A fourth of them, one at least, may search for
	// sends of before at once. Default 8.
	Workers int

	// QueueMax bounds the requests that wait for a worker. Past it they are
	// refused with parley.Overloaded. Default 1024.
	QueueMax int

	// UserQueueMax bounds how many of those are one user's, so that nobody fills
	// the queue for all. Past it his are refused with parley.Overloaded. Default
	// 128.
	UserQueueMax int

	// SubmissionsMax bounds the batches of sends and acknowledgements on their
	// way through the log: at most one for each read of a socket. Past it they
	// are refused with parley.Overloaded. Default 16384.
	SubmissionsMax int

	// PageBytesMax bounds the bodies in a page of history; a page holds one
	// message at least. It keeps a page within a session's outbox. Default
	// 128 KiB.
	PageBytesMax int

	// WatchesMax bounds the conversations that sessions watch, each counted for
	// each session. Past it a watch is refused with parley.Overloaded. Default
	// 65,536.
	WatchesMax int

	// WatchedMax bounds the members of conversations that are watched, who are
	// followed. Past it a watch is refused with parley.Overloaded. Default 524,288,
	// at about 100 bytes each.
	WatchedMax int

	// FarewellsMax bounds the devices that have gone and are not yet written down,
	// which is done every second. Past it a device counts as seen when it
	// connected. Default 65,536.
	FarewellsMax int

	// BodyMax is told to clients when they are welcomed: that of the service.
	// Default 60 KiB.
	BodyMax int

	// Logger receives events a human should see. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.QueueMax == 0 {
		o.QueueMax = 1024
	}
	if o.UserQueueMax == 0 {
		o.UserQueueMax = 128
	}
	if o.SubmissionsMax == 0 {
		o.SubmissionsMax = 16384
	}
	if o.PageBytesMax == 0 {
		o.PageBytesMax = 128 << 10
	}
	if o.WatchesMax == 0 {
		o.WatchesMax = 1 << 16
	}
	if o.WatchedMax == 0 {
		o.WatchedMax = 1 << 19
	}
	if o.FarewellsMax == 0 {
		o.FarewellsMax = 1 << 16
	}
	if o.BodyMax == 0 {
		o.BodyMax = 60 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
