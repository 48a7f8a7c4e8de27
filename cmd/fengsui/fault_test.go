package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"fengsui/ingest"
)

// TestAFaultOfTheRulesStopsTheJudge: it is named and not caught; a level half
// changed must not pass for the truth.
func TestAFaultOfTheRulesStopsTheJudge(t *testing.T) {
	var log bytes.Buffer
	j := newJudge(judgeOptions{Logger: slog.New(slog.NewJSONHandler(&log, nil))}) // without rules: they trip
	defer func() {
		if recover() == nil {
			t.Error("the judge went on")
		}
		if told := log.String(); !strings.Contains(told, `"input":7,"index":1,"source":"embedded","topic":"the disk"`) {
			t.Errorf("the log says %s", told)
		}
	}()
	j.walk(&entry{seq: 7, messages: []message{
		{Message: ingest.Message{Kind: ingest.Canary}}, {Message: ingest.Message{Kind: ingest.Trouble, Source: "embedded", Topic: "the disk"}},
	}})
}
