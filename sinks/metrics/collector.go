package metrics

import (
	"maps"
	"math"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// other stands for every word that is not allowed in a label.
const other = "other"

// maxWords is how many different words a label holds where no list is given.
const maxWords = 32

// collector turns snapshots into metrics during a scrape.
type collector struct {
	o       Options
	source  words
	refused words
	reason  words

	build *prometheus.Desc

	received, kept, refusedTotal, inFlight, sourceUp    *prometheus.Desc
	accepted, duplicate, quarantined, replayed, backlog *prometheus.Desc
	residue                                             *prometheus.Desc
	readings, armed, notArmed                           *prometheus.Desc
	alarms, events                                      *prometheus.Desc
	sinkLag, sinkLagSeconds, sinkWritten, sinkErrors    *prometheus.Desc
	sinkLost, sinkRejected, sinkStopped                 *prometheus.Desc
	sinkLagUnits, sinkCatchUp, sinkSent, sinkOutdated   *prometheus.Desc
	logBytes, logsUsed, consoles, canary, clock         *prometheus.Desc
	diskFree, diskSize, diskFloor, paused               *prometheus.Desc
}

func newCollector(o Options) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("fengsui_"+name, help, labels, nil)
	}
	return &collector{
		o:       o,
		source:  allow(o.SourceNames),
		refused: allow(o.RefusedReasons),
		reason:  allow(o.QuarantineReasons),

		build: desc("build_info", "Version of the gateway; always 1.", "version", "commit", "goversion"),

		received:     desc("messages_received_total", "MQTT messages that arrived at the door, by source.", "source"),
		kept:         desc("messages_kept_total", "MQTT messages that were put on disk and acknowledged, by source.", "source"),
		refusedTotal: desc("messages_refused_total", "MQTT messages that were not taken and not acknowledged, by source and reason.", "source", "reason"),
		inFlight:     desc("messages_in_flight", "MQTT messages that arrived and are neither on disk nor refused yet."),
		sourceUp:     desc("source_up", "Whether a source of messages is connected (1) or not (0).", "source"),

		accepted:    desc("messages_accepted_total", "Messages from the input log that became readings or told of a state."),
		duplicate:   desc("messages_duplicate_total", "Messages from the input log that repeated an earlier one."),
		replayed:    desc("messages_replayed_total", "Messages of the quarantine that were judged once more, by what became of them; not counted as kept again.", "result"),
		quarantined: desc("messages_quarantined_total", "Messages from the input log that were put into quarantine, by reason.", "reason"),
		backlog:     desc("messages_backlog", "Messages in the input log that have not been judged yet."),
		residue:     desc("books_residue", "Messages the books cannot account for, at the door or behind it (log); anything but 0 is a fault.", "line"),

		readings: desc("readings_total", "Readings by the worst quality of their values.", "quality"),
		armed:    desc("rules_armed", "Rules at points that can raise an alarm."),
		notArmed: desc("rules_not_armed", "Rules at points that cannot, because a design value of the site is missing."),
		alarms:   desc("alarms", "Alarms that are not closed, by level and state.", "level", "state"),
		events:   desc("alarm_events_total", "Steps in the lives of alarms, by type.", "type"),

		sinkLag:        desc("sink_lag_entries", "Log entries that a sink has not accepted yet.", "sink"),
		sinkLagSeconds: desc("sink_lag_seconds", "Age of the oldest entry that a sink has not accepted yet.", "sink"),
		sinkLagUnits:   desc("sink_lag_units", "Readings or events in those entries.", "sink"),
		sinkCatchUp:    desc("sink_catch_up_seconds", "Time until a sink has caught up, at the pace of the last half minute: 0 when it has, +Inf while it does not come nearer.", "sink"),
		sinkWritten:    desc("sink_written_total", "Readings or events that a sink accepted.", "sink"),
		sinkSent:       desc("sink_sent_total", "Messages that an endpoint of notifications took.", "sink"),
		sinkOutdated:   desc("sink_outdated_total", "Messages that were not sent because the endpoint had been away and something newer had overtaken them.", "sink"),
		sinkErrors:     desc("sink_errors_total", "Failed attempts to write to a sink; they are repeated until accepted.", "sink"),
		sinkLost:       desc("sink_lost_entries_total", "Log entries that were gone or damaged before a sink had them.", "sink"),
		sinkRejected:   desc("sink_rejected_total", "Single points or messages that a sink refused for good and that were put aside.", "sink"),
		sinkStopped:    desc("sink_stopped", "Whether a sink waits for somebody to correct its configuration (1) or not (0).", "sink"),

		logBytes:  desc("log_bytes", "Disk space that a log takes.", "log"),
		diskFree:  desc("disk_free_bytes", "Free space on the disk of the data folder."),
		diskSize:  desc("disk_size_bytes", "Size of the disk of the data folder, without what only root may use."),
		diskFloor: desc("disk_floor_bytes", "Free space below which no messages are taken."),
		logsUsed:  desc("logs_used_ratio", "Share of their limit that the logs take, of the fullest."),
		paused:    desc("intake_paused", "1 while no messages are taken because there is no room for them."),
		clock:     desc("clock_offset_seconds", "How far the machine's clock is ahead of the gateway's, which follows it slowly after a step."),
		consoles:  desc("consoles_connected", "Consoles connected to the stream."),
		canary:    desc("canary_age_seconds", "Time since the judge saw the last canary; above 3 the consoles are blind."),
	}
}

// Describe says nothing beforehand: that would take a first snapshot before its
// owners are ready. Every scrape is checked for consistency all the same.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	e := emitter{ch}
	e.gauge(c.build, 1, c.o.Version, c.o.Commit, runtime.Version())
	c.collectDoor(e)
	c.collectBooks(e)
	c.collectJudge(e)
	c.collectSinks(e)
	c.collectHouse(e)
}

func (c *collector) collectDoor(e emitter) {
	if c.o.Door == nil {
		return
	}
	door := c.o.Door()
	received, kept, up := c.source.sums(), c.source.sums(), map[string]float64{}
	refused := map[[2]string]float64{}
	for source := range received {
		for reason := range c.refused.sums() {
			refused[[2]string{source, reason}] = 0
		}
	}
	for _, s := range door.Sources {
		name := c.source.of(s.Name)
		received[name] += float64(s.Received)
		kept[name] += float64(s.Kept)
		for reason, n := range s.Refused {
			refused[[2]string{name, c.refused.of(reason)}] += float64(n)
		}
		if name != other {
			up[name] = bit(s.Up)
		}
	}
	e.counters(c.received, received)
	e.counters(c.kept, kept)
	e.gauges(c.sourceUp, up)
	for key, n := range refused {
		e.counter(c.refusedTotal, n, key[0], key[1])
	}
	e.gauge(c.inFlight, float64(door.InFlight))
	e.gauge(c.residue, float64(door.Residue), "door")
}

func (c *collector) collectBooks(e emitter) {
	if c.o.Books == nil {
		return
	}
	books := c.o.Books()
	e.counter(c.accepted, float64(books.Accepted))
	e.counter(c.duplicate, float64(books.Duplicate))
	e.counters(c.quarantined, c.reason.add(books.Quarantined))
	for _, result := range []string{"accepted", "duplicate", "quarantined", "repeated"} {
		e.counter(c.replayed, float64(books.Replayed[result]), result)
	}
	e.gauge(c.backlog, float64(books.Backlog))
	e.gauge(c.residue, float64(books.Residue), "log")
}

func (c *collector) collectJudge(e emitter) {
	if c.o.Judge != nil {
		judge := c.o.Judge()
		e.counter(c.readings, float64(judge.Good), "good")
		e.counter(c.readings, float64(judge.Suspect), "suspect")
		e.counter(c.readings, float64(judge.Bad), "bad")
		e.gauge(c.armed, float64(judge.Armed))
		e.gauge(c.notArmed, float64(judge.NotArmed))
		events := map[string]uint64{}
		for t, n := range judge.Events {
			events[string(t)] += n
		}
		e.counters(c.events, eventTypes.add(events))
	}
	if c.o.Alarms != nil {
		c.collectAlarms(e, c.o.Alarms())
	}
}

func (c *collector) collectAlarms(e emitter, counts []AlarmCount) {
	sums := map[AlarmCount]int{}
	for _, n := range counts {
		sums[AlarmCount{Level: n.Level, State: n.State}] += n.Count
	}
	for _, level := range levels {
		for _, state := range states {
			n := sums[AlarmCount{Level: level, State: state}]
			e.gauge(c.alarms, float64(n), level.String(), string(state))
		}
	}
}

func (c *collector) collectSinks(e emitter) {
	if c.o.Sinks == nil {
		return
	}
	seen := words{}
	for _, s := range c.o.Sinks() {
		if !seen.admit(s.Sink) {
			continue
		}
		e.gauge(c.sinkLag, float64(s.LagEntries), s.Sink)
		e.gauge(c.sinkLagSeconds, s.Lag.Seconds(), s.Sink)
		e.gauge(c.sinkLagUnits, float64(s.LagUnits), s.Sink)
		e.gauge(c.sinkCatchUp, catchUp(s), s.Sink)
		e.counter(c.sinkWritten, float64(s.Written), s.Sink)
		e.counter(c.sinkSent, float64(s.Sent), s.Sink)
		e.counter(c.sinkOutdated, float64(s.Outdated), s.Sink)
		e.counter(c.sinkErrors, float64(s.Errors), s.Sink)
		e.counter(c.sinkLost, float64(s.Lost), s.Sink)
		e.counter(c.sinkRejected, float64(s.Rejected), s.Sink)
		e.gauge(c.sinkStopped, bit(s.Stopped != ""), s.Sink)
	}
}

func catchUp(s sinks.Status) float64 {
	switch {
	case s.LagEntries == 0:
		return 0
	case s.ETA < 0:
		return math.Inf(1)
	}
	return s.ETA.Seconds()
}

func (c *collector) collectHouse(e emitter) {
	if c.o.Logs != nil {
		seen := words{}
		for _, l := range c.o.Logs() {
			if seen.admit(l.Name) {
				e.gauge(c.logBytes, float64(l.Bytes), l.Name)
			}
		}
	}
	if c.o.Disk != nil {
		d := c.o.Disk()
		e.gauge(c.diskFree, float64(d.Free))
		e.gauge(c.diskSize, float64(d.Size))
		e.gauge(c.diskFloor, float64(d.Floor))
		e.gauge(c.logsUsed, d.LogsUsed)
		e.gauge(c.paused, bit(d.Paused))
	}
	if c.o.ClockOffset != nil {
		e.gauge(c.clock, c.o.ClockOffset().Seconds())
	}
	if c.o.Consoles != nil {
		e.gauge(c.consoles, float64(c.o.Consoles()))
	}
	if c.o.Canary != nil {
		e.gauge(c.canary, c.o.Canary().Seconds())
	}
}

// emitter sends metrics to a scrape.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (e emitter) gauges(d *prometheus.Desc, byLabel map[string]float64) {
	for label, v := range byLabel {
		e.gauge(d, v, label)
	}
}

func (e emitter) counters(d *prometheus.Desc, byLabel map[string]float64) {
	for label, v := range byLabel {
		e.counter(d, v, label)
	}
}

func bit(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// words are what may stand in a label.
type words map[string]bool

func allow(list []string) words {
	w := words{}
	for _, word := range list {
		w[word] = true
	}
	return w
}

func (w words) of(word string) string {
	if w[word] {
		return word
	}
	return other
}

// sums is a zero for every word, so that a series is there before its first
// event and a rate over it sees the step.
func (w words) sums() map[string]float64 {
	sums := map[string]float64{other: 0}
	for word := range w {
		sums[word] = 0
	}
	return sums
}

// add sums counts under the words that are allowed.
func (w words) add(counts map[string]uint64) map[string]float64 {
	sums := w.sums()
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		sums[w.of(word)] += float64(counts[word])
	}
	return sums
}

// admit takes a new word until there are too many; a word seen before is not
// admitted again.
func (w words) admit(word string) bool {
	if w[word] || len(w) >= maxWords {
		return false
	}
	w[word] = true
	return true
}

var (
	levels = []rules.Level{rules.Blue, rules.Yellow, rules.Orange, rules.Red, rules.Fault}
	states = []alarms.State{alarms.ActiveUnacked, alarms.ActiveAcked, alarms.ClearedUnacked}

	eventTypes = allow([]string{
		string(alarms.Raised), string(alarms.Escalated), string(alarms.Eased), string(alarms.Rearmed),
		string(alarms.Cleared), string(alarms.Updated), string(alarms.Acked), string(alarms.Unacked),
		string(alarms.Noted), string(alarms.Shelved), string(alarms.Unshelved), string(alarms.Reset),
		string(alarms.ClosedEv),
	})
)
