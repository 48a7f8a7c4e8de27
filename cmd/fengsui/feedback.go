package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"fengsui/devices"
)

// feedback tells an installer what is wrong with what a device sends, on the
// device's own feedback topic, at most once in feedbackEvery for each device and
// code. It is best effort: the books, the quarantine and the console have it all.
type feedback struct {
	deliver func(topic string, payload []byte) error
	queue   chan devices.Rejection
	told    map[string]time.Time
	logger  *slog.Logger
}

const feedbackEvery = 10 * time.Second

func newFeedback(deliver func(topic string, payload []byte) error, logger *slog.Logger) *feedback {
	return &feedback{deliver: deliver, queue: make(chan devices.Rejection, 256), told: map[string]time.Time{}, logger: logger}
}

// tell never blocks: what does not fit is not told.
func (f *feedback) tell(rejections []devices.Rejection) {
	for _, r := range rejections {
		select {
		case f.queue <- r:
		default:
			return
		}
	}
}

// Run publishes what the judge told until ctx ends.
func (f *feedback) Run(ctx context.Context) error {
	for {
		select {
		case r := <-f.queue:
			f.publish(r)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *feedback) publish(r devices.Rejection) {
	topic, ok := feedbackTopic(&r)
	if !ok || !f.due(topic+r.Code+r.Field) {
		return
	}
	payload, err := json.Marshal(feedbackMessage{Code: r.Code, Field: r.Field, Detail: r.Detail, Hint: r.Hint, At: r.Received})
	if err != nil {
		return
	}
	if err := f.deliver(topic, payload); err != nil {
		f.logger.Debug("feedback not delivered", "topic", topic, "error", err)
	}
}

// feedbackMessage is the payload of v1/{site}/{device}/feedback.
type feedbackMessage struct {
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
	At     int64  `json:"at"` // receive time of the message it is about, Unix ms
}

// due also forgets who was told long ago, so that the map stays small.
func (f *feedback) due(key string) bool {
	now := time.Now()
	if now.Sub(f.told[key]) < feedbackEvery {
		return false
	}
	if len(f.told) > 10_000 {
		clear(f.told)
	}
	f.told[key] = now
	return true
}

// feedbackTopic is where the device a rejection is about listens, or, while that
// is not known, the sender of its house topic.
func feedbackTopic(r *devices.Rejection) (string, bool) {
	if r.Device != "" {
		return "v1/" + r.Device + "/feedback", true
	}
	parts := strings.Split(r.Topic, "/")
	if len(parts) != 4 || parts[0] != "v1" || !devices.ValidID(parts[1]) || !devices.ValidID(parts[2]) {
		return "", false
	}
	return "v1/" + parts[1] + "/" + parts[2] + "/feedback", true
}
