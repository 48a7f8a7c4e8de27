package influx

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// Readings is the sink that writes the readings log, named "influx".
func (s *Server) Readings() sinks.Sink {
	return &readings{writer: newWriter(s, time.Millisecond)}
}

// Alarms is the sink that writes the alarm log, named "influx_alarms".
func (s *Server) Alarms() sinks.Sink {
	return &events{writer: newWriter(s, time.Nanosecond)}
}

type readings struct {
	writer *writer
}

func (s *readings) Name() string { return "influx" }

func (s *readings) Write(ctx context.Context, batch []journal.Record) error {
	return s.writer.write(ctx, batch, s.encode)
}

func (s *readings) encode(rec journal.Record) error {
	return undecodable("readings", rec, fmt.Errorf("no decoder"))
}

// add encodes one reading.
func (w *writer) addReading(r *devices.Reading) {
	start := len(w.buf)
	var any bool
	if w.buf, any = appendReading(w.buf, r); any {
		w.ends = append(w.ends, len(w.buf))
	} else {
		w.buf = w.buf[:start]
	}
}

type events struct {
	writer *writer
}

func (s *events) Name() string { return "influx_alarms" }

func (s *events) Write(ctx context.Context, batch []journal.Record) error {
	return s.writer.write(ctx, batch, s.encode)
}

// encode skips entries of the alarm log that are not about an alarm, such as a
// change of the configuration.
func (s *events) encode(rec journal.Record) error {
	var e alarms.Event
	if err := json.Unmarshal(rec.Data, &e); err != nil {
		return undecodable("alarm", rec, err)
	}
	if e.Alarm.ID == "" {
		return nil
	}
	w := s.writer
	w.buf = appendEvent(w.buf, &e, rec.Seq)
	w.ends = append(w.ends, len(w.buf))
	return nil
}

// undecodable stops the sink at an entry this program does not understand: it
// was written whole, by a newer one, and going on would lose it.
func undecodable(log string, rec journal.Record, err error) error {
	return &sinks.Stopped{
		Reason: fmt.Sprintf("entry %d of the %s log was written by another version of the gateway; run that one, or a newer one (%v)", rec.Seq, log, err),
		Err:    err,
	}
}
