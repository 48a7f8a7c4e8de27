package main

import (
	"slices"
	"time"
)

// latencies collects how long things took.
type latencies []time.Duration

// percentile is the smallest latency that p percent of all do not exceed (the
// nearest-rank definition); 0 when there is none.
func (l latencies) percentile(p float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	sorted := slices.Clone(l)
	slices.Sort(sorted)
	rank := int(p / 100 * float64(len(sorted)))
	if float64(rank) < p/100*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(sorted))-1]
}
