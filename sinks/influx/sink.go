package influx

import (
	"context"
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
	*writer
	decoder devices.ReadingsDecoder
}

func (s *readings) Name() string { return "influx" }

func (s *readings) Write(ctx context.Context, batch []journal.Record) error {
	return s.write(ctx, batch, s.encode)
}

func (s *readings) encode(rec journal.Record) error {
	entry, err := s.decoder.Decode(rec.Data)
	if err != nil {
		return undecodable("readings", rec, err)
	}
	for i := range entry.Readings {
		s.addReading(&entry.Readings[i])
	}
	return nil
}

func (w *writer) addReading(r *devices.Reading) {
	line, ok := appendReading(w.buf, r)
	if ok {
		w.buf = line
		w.ends = append(w.ends, len(line))
	}
}

type events struct {
	*writer
}

func (s *events) Name() string { return "influx_alarms" }

func (s *events) Write(ctx context.Context, batch []journal.Record) error {
	return s.write(ctx, batch, s.encode)
}

// encode skips entries of the alarm log that are not about an alarm, such as a
// change of the configuration.
func (s *events) encode(rec journal.Record) error {
	e, err := alarms.DecodeEvent(rec.Data, rec.Seq)
	if err != nil {
		return undecodable("alarm", rec, err)
	}
	if e.Alarm.ID == "" {
		return nil
	}
	s.buf = appendEvent(s.buf, &e, rec.Seq)
	s.ends = append(s.ends, len(s.buf))
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
