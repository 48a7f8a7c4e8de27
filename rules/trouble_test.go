package rules

import (
	"testing"

	"fengsui/devices"
)

func TestTroubleStandsUntilItIsOver(t *testing.T) {
	e := NewEngine(EngineOptions{Registry: emptyRegistry(t)})
	first := e.Trouble("sink influx", Fault, "the token is refused", nil)
	if len(first) != 1 || first[0].Level != Fault || first[0].Source != "sink influx" || first[0].Reason != "the token is refused" {
		t.Fatalf("trouble gives %+v", first)
	}
	if again := e.Trouble("sink influx", Fault, "the token is still refused", nil); len(again) != 0 {
		t.Errorf("the same trouble again gives %+v", again)
	}

	data, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	e = NewEngine(EngineOptions{Registry: emptyRegistry(t)})
	if err := e.Restore(data); err != nil {
		t.Fatal(err)
	}
	e.Started(1, nil)
	if levels := e.Levels(nil); len(levels) != 1 || levels[0].Rule.ID != "gateway_trouble" {
		t.Errorf("after a restart the levels are %+v", levels)
	}
	if over := e.Trouble("sink influx", Fault, "", nil); len(over) != 1 || over[0].Level != Normal {
		t.Errorf("the end of the trouble gives %+v", over)
	}
	if levels := e.Levels(nil); len(levels) != 0 {
		t.Errorf("after its end the levels are %+v", levels)
	}
}

func emptyRegistry(t *testing.T) *devices.Registry {
	t.Helper()
	r, err := devices.NewRegistry(devices.RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
