package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// WebhookOptions of a webhook. Endpoint, Standing and Bucket are required.
type WebhookOptions struct {
	Common
	Steps    []Step // it is told of; nil: raised, level_up, resolved
	Template string // text/template over a Message; empty: the message as JSON
	// Answer must be part of every good answer, for endpoints that say 200 to
	// everything; empty: the status is enough.
	Answer string
	// LateAfter is how old a step must be to be told no more as it happened, but
	// only if it still matters, as it is now. Zero: 10 min.
	LateAfter time.Duration
	Bucket    Bucket
}

// Webhook is a sink that tells an endpoint the steps of alarms, one call each.
type Webhook struct {
	o      WebhookOptions
	name   string
	caller *caller
	body   *body
	words  wording
	memory memory
	logger *slog.Logger

	settled  uint64 // events up to here need no more of us in this run
	doubtful int    // how often in a row the message at hand was not confirmed

	mu     sync.Mutex
	report sinks.Report
}

// maxDoubts is how often a message is sent whose answer, though a success, does
// not say what it should.
const maxDoubts = 5

// NewWebhook prepares a webhook and finds what is wrong with its options and its
// template; it calls nobody and reads no secret.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	if o.LateAfter <= 0 {
		o.LateAfter = 10 * time.Minute
	}
	if o.Steps == nil {
		o.Steps = []Step{Raised, LevelUp, Resolved}
	}
	for _, s := range o.Steps {
		if !slices.Contains(Steps, s) {
			return nil, fmt.Errorf("step %q: want some of %v", s, Steps)
		}
	}
	o.setDefaults()
	c, err := newCaller(o.Endpoint)
	if err != nil {
		return nil, err
	}
	w := &Webhook{
		o: o, name: sinkName(o.Endpoint.Name), caller: c, words: wording{o.Zone, o.Console},
		memory: memory{bucket: o.Bucket, endpoint: o.Endpoint.Name},
	}
	w.logger = o.Logger.With("sink", w.name)
	if w.body, err = newBody(o.Template, o.Endpoint.Headers, &w.words); err != nil {
		return nil, err
	}
	return w, nil
}

// Name implements [sinks.Sink].
func (w *Webhook) Name() string { return w.name }

// Report implements [sinks.Reporter].
func (w *Webhook) Report() sinks.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report
}

// Verify finds out whether the files with secrets can be read.
func (w *Webhook) Verify() error {
	_, err := w.caller.secrets()
	return err
}

// Close closes idle connections.
func (w *Webhook) Close() { w.caller.client.CloseIdleConnections() }

// Write implements [sinks.Sink]. What was settled is not told again when the
// same batch comes again.
func (w *Webhook) Write(ctx context.Context, batch []journal.Record) error {
	if err := w.memory.load(ctx); err != nil {
		return err
	}
	if err := w.memory.save(ctx); err != nil {
		return err
	}
	for _, rec := range batch {
		if rec.Seq <= w.settled {
			continue
		}
		if err := w.event(ctx, rec); err != nil {
			return err
		}
		w.settled = rec.Seq
	}
	return nil
}

func (w *Webhook) event(ctx context.Context, rec journal.Record) error {
	e, err := alarms.DecodeEvent(rec.Data, rec.Seq)
	if err != nil {
		return undecodable(rec, err)
	}
	if e.Alarm.ID == "" || ownTrouble(&e.Alarm, w.name) {
		return nil
	}
	late := time.Since(time.UnixMilli(int64(e.Time))) > w.o.LateAfter
	if late {
		still, err := w.matters(ctx, &e)
		if err != nil || still == nil {
			return err
		}
		e = *still
	}
	step, now := next(&w.o.Filter, w.memory.get(e.Alarm.ID), &e)
	if step == "" {
		return nil
	}
	if slices.Contains(w.o.Steps, step) {
		taken, err := w.tell(ctx, w.words.message(&e, step, late))
		if err != nil || !taken {
			return err
		}
	}
	w.memory.set(e.Alarm.ID, now)
	return w.memory.save(ctx)
}

// matters looks at an old step in the light of how its alarm stands now: what is
// still true is told as it is now, what was overtaken not at all.
func (w *Webhook) matters(ctx context.Context, e *alarms.Event) (*alarms.Event, error) {
	now, err := w.o.Standing.find(ctx, e.Alarm.ID)
	if err != nil {
		return nil, err
	}
	ended := now == nil || over(&now.Alarm)
	if over(&e.Alarm) != ended {
		if step, _ := next(&w.o.Filter, w.memory.get(e.Alarm.ID), e); step != "" {
			w.count(func(r *sinks.Report) { r.Outdated++ })
		}
		return nil, nil
	}
	if now != nil && now.Seq > e.Seq {
		return now, nil
	}
	return e, nil
}

// tell sends a message and reports whether the endpoint took it; a message that
// it never will is put aside.
func (w *Webhook) tell(ctx context.Context, m Message) (taken bool, err error) {
	text, err := w.body.render(&m)
	if err != nil {
		w.aside(string(text), err.Error())
		return false, nil
	}
	said, err := w.caller.call(ctx, m.ID, text, "")
	if err == nil {
		err = w.judge(said)
	}
	var no *refused
	if errors.As(err, &no) {
		w.aside(string(text), no.Error())
		return false, nil
	}
	if err != nil {
		return false, err
	}
	w.doubtful = 0
	w.count(func(r *sinks.Report) { r.Sent++; r.Trouble = "" })
	return true, nil
}

// judge also looks for the text that a good answer must have.
func (w *Webhook) judge(said *answer) error {
	if err := said.judge(); err != nil || strings.Contains(said.full, w.o.Answer) {
		return err
	}
	if w.doubtful++; w.doubtful < maxDoubts {
		return fmt.Errorf("the endpoint answered %v, without %q", said, w.o.Answer)
	}
	return &refused{said}
}

// aside counts a message that will never be taken, and says so: nothing else
// waits for it.
func (w *Webhook) aside(text, reason string) {
	w.doubtful = 0
	w.count(func(r *sinks.Report) {
		r.Rejected++
		r.Trouble = "the last message was put aside: " + reason
	})
	w.logger.Error("a message was put aside and will not be sent", "reason", reason)
	w.o.OnRefused(text, reason)
}

func (w *Webhook) count(f func(r *sinks.Report)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.report)
}

// Try sends a test message and returns what the endpoint answered.
func (w *Webhook) Try(ctx context.Context) (string, error) {
	e := sample(time.Now())
	text, err := w.body.render(ptr(w.words.message(&e, Test, false)))
	if err != nil {
		return "", err
	}
	said, err := w.caller.call(ctx, e.ID, text, "")
	if err != nil {
		return "", err
	}
	return said.String(), w.judge(said)
}

// undecodable stops the sink at an event this program does not understand: it
// was written whole, by a newer one, and going on would lose it.
func undecodable(rec journal.Record, err error) error {
	return &sinks.Stopped{
		Reason: fmt.Sprintf("event %d of the alarm log was written by another version of the gateway; run that one, or a newer one (%v)", rec.Seq, err),
		Err:    err,
	}
}
