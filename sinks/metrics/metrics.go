// Package metrics shows the gateway to Prometheus.
//
// In: snapshots that their owners computed beforehand, read through the small
// functions of [Options], and durations given to the observing methods. Out: the
// page at /metrics. What survives a crash: nothing; counters that must go on
// across restarts are taken from log positions by those who give them. What it
// will not do: take a lock of an engine during a scrape, or put a device, a site
// or any other unbounded word into a label.
//
// No other package needs to know Prometheus: every instrument is made here, and
// its name, labels and help are listed in testdata/metrics.txt.
package metrics

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// Options say where the figures come from. A function that is nil leaves its
// metrics out. Functions are called in every scrape, from several goroutines,
// and must return at once.
type Options struct {
	Version, Commit string

	// The words that may stand in the label source, and as reasons in the labels
	// of refused and quarantined messages. Any other counts as "other".
	SourceNames       []string
	RefusedReasons    []string
	QuarantineReasons []string

	Door     func() Door
	Books    func() Books
	Judge    func() Judge
	Alarms   func() []AlarmCount
	Sinks    func() []sinks.Status
	Logs     func() []LogSize
	Disk     func() Disk
	Consoles func() int
	// Canary is how long ago the judge saw the last canary.
	Canary func() time.Duration

	// ClockOffset is how far the machine's clock is ahead of the gateway's.
	ClockOffset func() time.Duration

	Logger *slog.Logger // nil: discard
}

// Disk is the room for the logs.
type Disk struct {
	Free, Size, Floor int64   // bytes of the disk of the data folder
	LogsUsed          float64 // share of what the logs may take
	Paused            bool    // the intake takes nothing
}

// Door is the books at the door: received = kept + refused + in flight + residue.
type Door struct {
	Sources  []Source
	InFlight int64
	Residue  int64
}

// Source is the door's account of one source.
type Source struct {
	Name     string
	Up       bool
	Received uint64
	Kept     uint64
	Refused  map[string]uint64 // by reason
}

// Books are the books behind the door, from log positions:
// kept = accepted + duplicate + quarantined + backlog + residue.
type Books struct {
	Accepted    uint64
	Duplicate   uint64
	Quarantined map[string]uint64 // by reason; whole messages only
	Replayed    map[string]uint64 // messages of the quarantine judged once more, by what became of them
	Backlog     uint64
	Residue     int64
}

// Judge is what the judge did and holds.
type Judge struct {
	Good, Suspect, Bad uint64 // readings
	Armed, NotArmed    int    // rules at points
	Events             map[alarms.EventType]uint64
}

// AlarmCount is how many alarms that are not closed stand at a level in a state.
type AlarmCount struct {
	Level rules.Level
	State alarms.State
	Count int
}

// LogSize is how much disk a log takes.
type LogSize struct {
	Name  string
	Bytes int64
}

// Metrics of one gateway.
type Metrics struct {
	registry *prometheus.Registry
	logger   *slog.Logger

	sync               *histogram
	kept, judged, sent *histogram
}

// New makes the metrics of a gateway.
func New(o Options) *Metrics {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{registry: prometheus.NewRegistry(), logger: o.Logger}
	m.sync = newHistogram("fengsui_sync_seconds",
		"How long it took to get an entry onto disk.", nil)
	const stageHelp = "Age of a message, from its receipt, when it had passed a stage: kept (on disk), judged, sent (on its way to the consoles)."
	m.kept = newHistogram("fengsui_stage_seconds", stageHelp, prometheus.Labels{"stage": "kept"})
	m.judged = newHistogram("fengsui_stage_seconds", stageHelp, prometheus.Labels{"stage": "judged"})
	m.sent = newHistogram("fengsui_stage_seconds", stageHelp, prometheus.Labels{"stage": "sent"})
	m.registry.MustRegister(
		newCollector(o),
		m.sync, m.kept, m.judged, m.sent,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Synced observes how long one entry took to get onto disk.
func (m *Metrics) Synced(took time.Duration) { m.sync.observe(1, took) }

// Kept observes n messages that were on disk, age after their receipt.
func (m *Metrics) Kept(n int, age time.Duration) { m.kept.observe(n, age) }

// Judged observes n messages that were judged, age after their receipt.
func (m *Metrics) Judged(n int, age time.Duration) { m.judged.observe(n, age) }

// Sent observes n messages whose effect was handed to the consoles, age after
// their receipt.
func (m *Metrics) Sent(n int, age time.Duration) { m.sent.observe(n, age) }
