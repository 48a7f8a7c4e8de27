package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// AlertmanagerOptions of one Alertmanager; each of a highly available pair has
// its own. Endpoint and Standing are required.
type AlertmanagerOptions struct {
	Common                   // URL of its Endpoint: http://host:9093, without /api/v2
	Labels map[string]string // added to every alert, such as the name of this gateway
	// Repeat is how often every standing alarm is posted again. An alert that is
	// not repeated ends by itself after four times that. Zero: 1 min.
	Repeat time.Duration
}

// Alertmanager is a sink that keeps a Prometheus Alertmanager informed of the
// alarms that stand: at once when one changes, and all of them now and then,
// since it forgets them when it restarts.
type Alertmanager struct {
	o      AlertmanagerOptions
	name   string
	caller *caller
	words  wording
	logger *slog.Logger

	posting sync.Mutex
	firing  map[string]rules.Level // what it was told stands, by alarm; of this run

	mu      sync.Mutex
	report  sinks.Report
	refused string // why the last alerts were put aside
	cut     string // why what stands could not be repeated
}

// maxAlerts is how many alerts one call carries.
const maxAlerts = 500

// NewAlertmanager prepares a sink; it calls nobody.
func NewAlertmanager(o AlertmanagerOptions) (*Alertmanager, error) {
	if o.Repeat <= 0 {
		o.Repeat = time.Minute
	}
	o.setDefaults()
	c, err := newCaller(o.Endpoint)
	if err != nil {
		return nil, err
	}
	a := &Alertmanager{o: o, name: sinkName(o.Endpoint.Name), caller: c, words: wording{o.Zone, o.Console}, firing: map[string]rules.Level{}}
	a.logger = o.Logger.With("sink", a.name)
	return a, nil
}

// Name implements [sinks.Sink].
func (a *Alertmanager) Name() string { return a.name }

// Report implements [sinks.Reporter].
func (a *Alertmanager) Report() sinks.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.report
	switch {
	case a.cut != "":
		r.Trouble = "what stands cannot be repeated: " + a.cut
	case a.refused != "":
		r.Trouble = "the last alerts were put aside: " + a.refused
	}
	return r
}

// Verify finds out whether the files with secrets can be read.
func (a *Alertmanager) Verify() error {
	_, err := a.caller.secrets()
	return err
}

// Close closes idle connections.
func (a *Alertmanager) Close() { a.caller.client.CloseIdleConnections() }

// Run repeats what stands until ctx ends.
func (a *Alertmanager) Run(ctx context.Context) error {
	tick := time.NewTicker(a.o.Repeat)
	defer tick.Stop()
	for {
		err := a.repeat(ctx)
		if ctx.Err() != nil {
			return nil
		}
		a.repeated(err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *Alertmanager) repeated(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut = ""
	if err != nil {
		a.report.Failed++
		a.cut = err.Error()
	}
}

// repeat posts what stands; with nothing to post it still makes sure that the
// Alertmanager would have listened.
func (a *Alertmanager) repeat(ctx context.Context) error {
	all, err := a.o.Standing.all(ctx)
	if err != nil {
		return err
	}
	a.posting.Lock()
	defer a.posting.Unlock()
	r := a.round()
	for _, e := range all {
		r.stand(e)
	}
	if len(r.alerts) == 0 {
		return a.send(ctx, []alert{})
	}
	return a.post(ctx, r)
}

// Write implements [sinks.Sink]. Of each alarm in the batch, what is posted is
// how it stands now.
func (a *Alertmanager) Write(ctx context.Context, batch []journal.Record) error {
	latest := map[string]*alarms.Event{}
	for _, rec := range batch {
		e, err := alarms.DecodeEvent(rec.Data, rec.Seq)
		if err != nil {
			return undecodable(rec, err)
		}
		if e.Alarm.ID != "" && !ownTrouble(&e.Alarm, a.name) {
			latest[e.Alarm.ID] = &e
		}
	}
	for id, e := range latest {
		now, err := a.o.Standing.find(ctx, id)
		if err != nil {
			return err
		}
		if now != nil && now.Seq > e.Seq {
			latest[id] = now
		}
	}
	a.posting.Lock()
	defer a.posting.Unlock()
	r := a.round()
	for _, e := range latest {
		r.change(e)
	}
	return a.post(ctx, r)
}

// alert is one of Alertmanager's API v2.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// round is what is posted at one time.
type round struct {
	*Alertmanager
	now    time.Time
	alerts []alert
	// What will be firing once this is accepted; Normal for what no longer is.
	changes map[string]rules.Level
}

func (a *Alertmanager) round() *round {
	return &round{Alertmanager: a, now: time.Now(), changes: map[string]rules.Level{}}
}

// stand posts an alarm if it stands, and ends what was posted of it before. The
// level is a label, so another level is another alert.
func (r *round) stand(e *alarms.Event) {
	a := &e.Alarm
	if ownTrouble(a, r.name) {
		return
	}
	was, fired := r.firing[a.ID]
	stands := r.o.Filter.stands(a)
	if fired && (!stands || was != a.Level) {
		r.end(e, was)
	}
	if stands {
		r.add(e, a.Level, r.now.Add(4*r.o.Repeat))
		r.changes[a.ID] = a.Level
	} else if fired {
		r.changes[a.ID] = rules.Normal
	}
}

// change is stand for an alarm that has just changed. What an earlier run of the
// gateway posted of it is not known, so every other level it had is ended.
func (r *round) change(e *alarms.Event) {
	a := &e.Alarm
	r.stand(e)
	if _, fired := r.firing[a.ID]; fired || e.Type == alarms.Raised || !r.o.Filter.covers(a) {
		return
	}
	if a.WorstLevel == rules.Fault {
		if !r.o.Filter.stands(a) {
			r.end(e, rules.Fault)
		}
		return
	}
	for level := rules.Blue; level <= a.WorstLevel; level++ {
		if within(r.o.Filter.Levels, level) && (level != a.Level || !r.o.Filter.stands(a)) {
			r.end(e, level)
		}
	}
}

func (r *round) end(e *alarms.Event, level rules.Level) {
	end := r.now
	if start := time.UnixMilli(int64(e.Alarm.RaisedTime)); end.Before(start) {
		end = start
	}
	r.add(e, level, end)
}

func (r *round) add(e *alarms.Event, level rules.Level, end time.Time) {
	a := &e.Alarm
	step := Raised
	if over(a) {
		step = Resolved
	}
	m := r.words.message(e, step, false)
	labels := map[string]string{"alertname": a.Rule, "severity": level.String(), "site": a.Site, "area": a.Area, "kind": a.Kind, "device": a.Device, "field": a.Field}
	maps.Copy(labels, r.o.Labels)
	maps.DeleteFunc(labels, func(_, v string) bool { return v == "" })
	notes := map[string]string{
		"summary": m.Text.ZH, "summary_zh": m.Text.ZH, "summary_en": m.Text.EN,
		"title_zh": m.Title.ZH, "title_en": m.Title.EN, "where_zh": m.Where.ZH, "where_en": m.Where.EN,
		"value": m.Value, "limit": m.Limit, "since": m.Since, "advice_zh": m.Advice.ZH, "advice_en": m.Advice.EN,
		"contacts_zh": m.ContactsZH, "contacts_en": m.ContactsEN, "alarm": a.ID, "state": string(a.State),
	}
	maps.DeleteFunc(notes, func(_, v string) bool { return v == "" })
	r.alerts = append(r.alerts, alert{
		Labels: labels, Annotations: notes, GeneratorURL: m.Link,
		StartsAt: time.UnixMilli(int64(a.RaisedTime)).UTC(), EndsAt: end.UTC(),
	})
}

// post sends a round. Its caller holds posting.
func (a *Alertmanager) post(ctx context.Context, r *round) error {
	for first := 0; first < len(r.alerts); first += maxAlerts {
		if err := a.send(ctx, r.alerts[first:min(first+maxAlerts, len(r.alerts))]); err != nil {
			return err
		}
	}
	for id, level := range r.changes {
		if level == rules.Normal {
			delete(a.firing, id)
		} else {
			a.firing[id] = level
		}
	}
	return nil
}

func (a *Alertmanager) send(ctx context.Context, alerts []alert) error {
	text, err := json.Marshal(alerts)
	if err != nil {
		return fmt.Errorf("encode alerts: %w", err)
	}
	said, err := a.caller.call(ctx, "", text, "/api/v2/alerts")
	if err == nil {
		err = said.judge()
	}
	var no *refused
	if errors.As(err, &no) {
		a.aside(string(text), len(alerts), no.Error())
		return nil
	}
	if err == nil {
		a.taken(len(alerts))
	}
	return err
}

func (a *Alertmanager) taken(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report.Sent += uint64(n)
	a.refused = ""
}

// aside counts alerts that were refused for good: nothing else waits for them.
func (a *Alertmanager) aside(text string, n int, reason string) {
	a.mu.Lock()
	a.report.Rejected += uint64(n)
	a.refused = reason
	a.mu.Unlock()
	a.logger.Error("alerts were put aside", "alerts", n, "reason", reason)
	a.o.OnRefused(text, reason)
}

// Try posts a test alert that ends by itself after a minute, and returns what
// was answered.
func (a *Alertmanager) Try(ctx context.Context) (string, error) {
	r := a.round()
	e := sample(r.now)
	m := a.words.message(&e, Test, false)
	r.add(&e, e.Alarm.Level, r.now.Add(time.Minute))
	test := &r.alerts[0]
	test.Labels["alertname"] = "fengsui_test"
	test.Annotations["summary"], test.Annotations["summary_zh"], test.Annotations["summary_en"] = m.Text.ZH, m.Text.ZH, m.Text.EN
	text, err := json.Marshal(r.alerts)
	if err != nil {
		return "", err
	}
	said, err := a.caller.call(ctx, "", text, "/api/v2/alerts")
	if err != nil {
		return "", err
	}
	return said.String(), said.judge()
}
