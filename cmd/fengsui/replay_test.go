package main

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
)

// TestTheTimeOfAReplayedMessage: one that is judged again is from when it was
// measured, else from when it came first, never from now. What a device said since
// stands, a clock that was wrong then is wrong now, and the judge's own clock does
// not go back.
func TestTheTimeOfAReplayedMessage(t *testing.T) {
	d := newBareJudge(t, t.TempDir(), traffic{devices: 3})
	now := time.Now().Truncate(time.Second)
	first := now.Add(-2 * time.Hour) // history_after is one
	ms := func(t time.Time) int64 { return t.UnixMilli() }
	again := func(index int, device, payload string) ingest.Message {
		m := ingest.Message{Kind: ingest.Publish, Source: embeddedSource, User: "s", QoS: 1, Topic: "v1/s/" + device + "/telemetry", Payload: []byte(payload)}
		m = ingest.Replay(&m, ingest.Origin{Position: 1, Index: index, Received: first})
		m.Received = now
		return m
	}
	live := ingest.Message{Kind: ingest.Publish, Source: embeddedSource, User: "s", Topic: "v1/s/d00001/telemetry", Payload: []byte(`{"values":{"gas_lel_pct":2}}`), Received: now}
	var entry []byte
	for _, m := range []ingest.Message{
		live,
		again(0, "d00000", `{"values":{"gas_lel_pct":60}}`),
		again(1, "d00001", `{"values":{"gas_lel_pct":60}}`),
		again(2, "d00002", `{"ts":`+ts(first.Add(-time.Minute))+`,"values":{"gas_lel_pct":1}}`),
		again(3, "d00002", `{"ts":`+ts(first.Add(time.Hour))+`,"values":{"gas_lel_pct":1}}`), // ahead of when it came
	} {
		entry = ingest.AppendMessage(entry, &m)
	}
	if _, err := d.Input.Append(t.Context(), entry, 1); err != nil {
		t.Fatal(err)
	}
	stop := d.start(t)
	stop()

	type told struct {
		device string
		at     int64
		flags  devices.Flags
	}
	var got []told
	r, err := d.Readings.log.At(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	list, err := devices.DecodeReadings(r.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, reading := range list.Readings {
		got = append(got, told{reading.Device.ID, reading.Time, reading.Flags})
	}
	want := []told{
		{"d00001", ms(now), 0},
		{"d00000", ms(first), devices.History | devices.Backfill},
		{"d00001", ms(first), devices.History | devices.Backfill | devices.TooLate},
		{"d00002", ms(first.Add(-time.Minute)), devices.History | devices.Backfill},
		{"d00002", ms(first), devices.History | devices.Backfill | devices.ClockSuspect},
	}
	if !slices.Equal(got, want) {
		t.Errorf("readings %+v\nwant     %+v", got, want)
	}
	var standing []string
	for _, a := range d.Book.Alarms() {
		if a.Rule != "gateway_trouble" {
			standing = append(standing, a.Device+" "+a.Level.String())
		}
	}
	if !slices.Contains(standing, "d00000 red") || slices.Contains(standing, "d00001 red") {
		t.Errorf("%v stand: what is the newest of its device counts, what was overtaken does not", standing)
	}
	if d.clock < ms(now) {
		t.Errorf("the judge's clock went back to %v", time.UnixMilli(d.clock))
	}
}

func ts(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
