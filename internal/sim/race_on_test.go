//go:build race

package sim

// seedsShort is how many seeds run unless the environment says otherwise: the
// race detector makes each ten times slower.
const seedsShort = 40
