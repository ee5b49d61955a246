//go:build !race

package chat

const underRace = false
