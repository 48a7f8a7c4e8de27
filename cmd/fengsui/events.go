package main

import (
	"context"
	"encoding/json"
	"fmt"

	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
)

// appendEvent puts an event into the alarm log, under its alarm's key, right
// behind what this gateway believes to be the last: if another one ever wrote
// there, the log refuses.
func appendEvent(ctx context.Context, log *journal.KeyedLog, e *alarms.Event) (uint64, error) {
	last := log.Last().Seq
	e.Seq, e.Alarm.Seq = last+1, last+1
	data, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("encode: %w", err)
	}
	return log.Append(ctx, e.Alarm.ID, data, last)
}
