package metrics

import (
	"sort"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds of all histograms, in seconds: 1 ms to 60 s.
var bounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// histogram counts durations, many of one length at the cost of one: messages
// are kept and judged in batches.
type histogram struct {
	desc   *prometheus.Desc
	counts []atomic.Uint64 // one a bound, and one for what is beyond
	nanos  atomic.Int64
}

func newHistogram(name, help string, labels prometheus.Labels) *histogram {
	return &histogram{
		desc:   prometheus.NewDesc(name, help, nil, labels),
		counts: make([]atomic.Uint64, len(bounds)+1),
	}
}

func (h *histogram) observe(n int, took time.Duration) {
	if n <= 0 {
		return
	}
	took = max(took, 0)
	h.counts[sort.SearchFloat64s(bounds, took.Seconds())].Add(uint64(n))
	h.nanos.Add(int64(n) * int64(took))
}

func (h *histogram) Describe(ch chan<- *prometheus.Desc) { ch <- h.desc }

func (h *histogram) Collect(ch chan<- prometheus.Metric) {
	sum := time.Duration(h.nanos.Load()).Seconds()
	buckets := make(map[float64]uint64, len(bounds))
	var count uint64
	for i := range h.counts {
		count += h.counts[i].Load()
		if i < len(bounds) {
			buckets[bounds[i]] = count
		}
	}
	ch <- prometheus.MustNewConstHistogram(h.desc, count, sum, buckets)
}
