//go:build !race

package sim

// seedsShort is how many seeds run unless the environment says otherwise.
const seedsShort = 200
