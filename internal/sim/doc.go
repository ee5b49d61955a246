// Package sim runs a whole node (the real wal, engine and chat rules) on a
// simulated disk and clock, cuts its power at a chosen operation, and judges
// what is left.
//
// One seed decides the work, the options, the operation at which the power goes
// and how much unsynced data survives. The node's own goroutines run freely, so
// a seed that failed fails again often, not always; the run prints the command
// that repeats it.
//
//	err := sim.Run(sim.Options{Seed: 7})
//
// After each cut package verify reads the disk, the node is opened on it under
// other options, and: everything acknowledged before the cut is there, once,
// under its sequence; verify's model and the node agree on every sequence, count
// and watermark; two nodes opened from the disk under different options have
// one state; and clients that send again what was not acknowledged, and a tenth
// of what was, get the receipts they must.
//
// Truncating is a second engine.Log: in memory, with a tail that is lost at
// random before it is committed, as a replicated log's may be.
package sim
