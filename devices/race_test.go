//go:build race

package devices

// The race detector makes sync.Pool forget at random, so allocations cannot be
// counted under it.
const underRace = true
