package influx

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/influxdata/influxdb-client-go/v2/api"

	"fengsui/ingest/journal"
	"fengsui/sinks"
)

// maxSuspects is how many lines may be refused one by one, with none accepted,
// before the refusals are taken for a fault of the whole way to InfluxDB.
const maxSuspects = 16

// writer gets lines into InfluxDB. One runner uses it.
type writer struct {
	server *Server
	api    api.WriteAPIBlocking

	buf   []byte   // the lines of a batch, end to end
	ends  []int    // where each of them ends
	lines [][]byte // the lines, once buf moves no more
	text  []byte   // of the request at hand

	// How far the batch at hand is: what was settled is not sent again when the
	// runner tries the batch once more.
	first, last uint64
	settled     int

	limit   int    // lines in a request; shrinks when one was too large
	control []byte // a line that InfluxDB accepted: proof that it takes lines at all

	rejected atomic.Uint64
}

func newWriter(s *Server, precision time.Duration) *writer {
	return &writer{server: s, api: s.api(precision), limit: s.o.MaxLines}
}

// Report implements [sinks.Reporter].
func (w *writer) Report() sinks.Report { return sinks.Report{Rejected: w.rejected.Load()} }

// write encodes a batch by encode, which appends to w.buf and w.ends, and
// delivers its lines in order.
func (w *writer) write(ctx context.Context, batch []journal.Record, encode func(journal.Record) error) error {
	if len(batch) == 0 {
		return nil
	}
	w.buf, w.ends = w.buf[:0], w.ends[:0]
	for _, rec := range batch {
		if err := encode(rec); err != nil {
			return err
		}
	}
	w.cut()
	if first, last := batch[0].Seq, batch[len(batch)-1].Seq; first != w.first || last != w.last {
		w.first, w.last, w.settled = first, last, 0
	}
	for w.settled < len(w.lines) {
		chunk := w.lines[w.settled:min(w.settled+w.limit, len(w.lines))]
		if err := w.settle(ctx, chunk); err != nil {
			return err
		}
		w.settled += len(chunk)
	}
	w.first, w.last = 0, 0
	return nil
}

func (w *writer) cut() {
	w.lines = w.lines[:0]
	start := 0
	for _, end := range w.ends {
		w.lines = append(w.lines, w.buf[start:end:end])
		start = end
	}
}

// settle gets a chunk of lines in, except those that can never be.
func (w *writer) settle(ctx context.Context, chunk [][]byte) error {
	t := &trial{writer: w}
	if err := t.try(ctx, chunk); err != nil {
		return err
	}
	if err := t.convict(ctx); err != nil {
		return err
	}
	w.server.accepted.Add(uint64(len(chunk) - len(t.aside)))
	w.server.rejected.Add(uint64(len(t.aside)))
	w.rejected.Add(uint64(len(t.aside)))
	for _, r := range t.aside {
		w.server.o.OnRejected(string(r.line), r.reason)
	}
	return nil
}

// send writes lines in one request.
func (w *writer) send(ctx context.Context, lines [][]byte) error {
	w.text = w.text[:0]
	for i, line := range lines {
		if i > 0 {
			w.text = append(w.text, '\n')
		}
		w.text = append(w.text, line...)
	}
	err := w.api.WriteRecord(ctx, string(w.text))
	if err == nil {
		w.control = append(w.control[:0], lines[len(lines)-1]...)
	}
	return err
}

// trial separates the lines of one chunk that InfluxDB takes from those it
// never will.
type trial struct {
	*writer
	aside    []refusedLine
	suspects int // of aside: refused without the database saying that it is about them
	accepted int
}

type refusedLine struct {
	line   []byte
	reason string
}

// try writes lines; those that are refused are split until the ones to blame
// stand alone. Writing the others again changes nothing.
func (t *trial) try(ctx context.Context, lines [][]byte) error {
	if len(lines) == 0 {
		return nil
	}
	err := t.send(ctx, lines)
	if err == nil {
		t.accepted += len(lines)
		return nil
	}
	var r *refusal
	if !errors.As(err, &r) {
		return explain(err)
	}
	switch r.status {
	case http.StatusRequestEntityTooLarge:
		return t.shrink(ctx, lines, r)
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return t.divide(ctx, lines, r)
	}
	return explain(err)
}

func (t *trial) shrink(ctx context.Context, lines [][]byte, r *refusal) error {
	if len(lines) == 1 {
		return t.suspect(lines[0], r)
	}
	t.limit = max(1, min(t.limit, len(lines)/2))
	t.server.logger.Warn("InfluxDB takes no requests of this size; sending smaller ones", "lines", len(lines), "now", t.limit)
	return t.halve(ctx, lines)
}

func (t *trial) divide(ctx context.Context, lines [][]byte, r *refusal) error {
	dropped, counted := r.dropped()
	if counted && dropped >= len(lines) {
		for _, line := range lines {
			t.aside = append(t.aside, refusedLine{line, r.text})
		}
		return nil
	}
	if len(lines) == 1 {
		return t.suspect(lines[0], r)
	}
	if guilty, innocent := r.sort(lines); len(guilty) > 0 && len(innocent) > 0 {
		if err := t.try(ctx, innocent); err != nil {
			return err
		}
		return t.try(ctx, guilty)
	}
	return t.halve(ctx, r.arrange(lines))
}

func (t *trial) halve(ctx context.Context, lines [][]byte) error {
	if err := t.try(ctx, lines[:len(lines)/2]); err != nil {
		return err
	}
	return t.try(ctx, lines[len(lines)/2:])
}

// suspect puts a line aside that was refused alone.
func (t *trial) suspect(line []byte, r *refusal) error {
	t.aside = append(t.aside, refusedLine{line, r.Error()})
	t.suspects++
	if t.suspects >= maxSuspects && t.accepted == 0 {
		return t.refusedAll(r.Error())
	}
	return nil
}

// convict makes sure that suspects are to blame and not the way to InfluxDB: a
// proxy that answers 400 to everything must not empty the log into quarantine.
// Something else must have been accepted, now or, written again, from before.
func (t *trial) convict(ctx context.Context) error {
	if t.suspects == 0 || t.accepted > 0 {
		return nil
	}
	reason := t.aside[len(t.aside)-1].reason
	if len(t.control) == 0 {
		return t.refusedAll(reason)
	}
	err := t.send(ctx, [][]byte{slices.Clone(t.control)})
	var r *refusal
	if errors.As(err, &r) && (r.status == http.StatusBadRequest || r.status == http.StatusUnprocessableEntity) {
		return t.refusedAll(reason)
	}
	if err != nil {
		return explain(err)
	}
	return nil
}

func (t *trial) refusedAll(reason string) error {
	return &sinks.Stopped{
		Reason: fmt.Sprintf("InfluxDB refuses every line; check influx.url and what stands between (%s)", reason),
		Err:    errors.New(reason),
	}
}

var (
	droppedCount = regexp.MustCompile(`partial write: .*dropped=(\d+)`)
	conflict     = regexp.MustCompile(`input field \\?"(.+?)\\?" on measurement \\?"(.+?)\\?" is type`)
)

// dropped is how many points the database says it left out. With several
// shards it may have left out more, never fewer.
func (e *refusal) dropped() (n int, ok bool) {
	m := droppedCount.FindStringSubmatch(e.text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}

// sort separates the lines that a type conflict speaks of. It only proposes
// how to split; what is rejected is what the database refuses.
func (e *refusal) sort(lines [][]byte) (guilty, innocent [][]byte) {
	m := conflict.FindStringSubmatch(e.text)
	if m == nil {
		return nil, lines
	}
	measurement := string(appendName(nil, m[2])) + ","
	field := string(appendName(nil, m[1])) + "="
	for _, line := range lines {
		if strings.HasPrefix(string(line), measurement) && bytes.Contains(line, []byte(field)) {
			guilty = append(guilty, line)
		} else {
			innocent = append(innocent, line)
		}
	}
	return guilty, innocent
}

// arrange orders lines by time where points were too old, so that they stand
// together. Lines of one time keep their order: the last one must win.
func (e *refusal) arrange(lines [][]byte) [][]byte {
	if !strings.Contains(strings.ToLower(e.text), "retention") {
		return lines
	}
	byTime := slices.Clone(lines)
	slices.SortStableFunc(byTime, func(a, b []byte) int {
		return cmp.Compare(timeOf(a), timeOf(b))
	})
	return byTime
}

func timeOf(line []byte) int64 {
	t, _ := strconv.ParseInt(string(line[bytes.LastIndexByte(line, ' ')+1:]), 10, 64)
	return t
}
