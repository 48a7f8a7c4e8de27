package simulate

import (
	"strings"
	"testing"
	"time"
)

func TestScenariosAreSound(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		if seen[s.Name] {
			t.Errorf("scenario %s is listed twice", s.Name)
		}
		seen[s.Name] = true
		if s.Title.ZH == "" || s.Title.EN == "" || len(s.Acts) == 0 {
			t.Errorf("scenario %s: incomplete", s.Name)
		}
		for _, a := range s.Acts {
			if a.At+a.Lasts > s.Every {
				t.Errorf("scenario %s: an act ends after %s, when the next round has begun", s.Name, a.At+a.Lasts)
			}
		}
		if found, err := FindScenario(s.Name); err != nil || found.Name != s.Name {
			t.Errorf("FindScenario(%q): %v, %v", s.Name, found.Name, err)
		}
		newTestCounty(t, 1, s)
	}
	if _, err := FindScenario("gas_leek"); err == nil || !strings.Contains(err.Error(), "gas_leak") {
		t.Errorf("a misspelt name gives %v; want the names there are", err)
	}
}

func TestAScenarioNobodyCanPlay(t *testing.T) {
	meters := testDevices()[:2]
	c, err := NewCounty(CountyOptions{Devices: meters, Scenarios: Story()})
	if err != nil || len(c.Breakable()) != 2 {
		t.Errorf("a story of which meters can play one part: %v; want that part played", err)
	}
	if _, err := NewCounty(CountyOptions{Devices: meters, Scenarios: []Scenario{gasLeak()}}); err == nil {
		t.Error("a gas leak without a gas alarm was accepted")
	}
	if _, err := NewCounty(CountyOptions{Devices: meters}); err != nil {
		t.Errorf("a county where nothing happens: %v", err)
	}
}

// crossing is the moment a field first reaches a limit.
type crossing struct {
	field string
	limit float64
}

// firstCrossings plays a story and notes when each limit is first reached.
func firstCrossings(t *testing.T, lasts time.Duration, of []crossing, story ...Scenario) map[crossing]time.Duration {
	t.Helper()
	c := newTestCounty(t, 1, story...)
	first := map[crossing]time.Duration{}
	c.Step(noon, nil)
	for at := quarter; at <= lasts; at += quarter {
		for _, m := range c.Step(noon.Add(at), nil) {
			all, _ := decode(t, m.Payload)
			values := all[len(all)-1].Values
			for _, x := range of {
				if v, ok := values[x.field]; ok && v >= x.limit && first[x] == 0 {
					first[x] = at
				}
			}
		}
	}
	return first
}

func TestTheStoryUnfoldsInTheFirstMinutes(t *testing.T) {
	// Usual design values of testDevices: production level 120 m, pre-flood 120.4 m.
	within := map[crossing][2]time.Duration{
		{"gas_lel_pct", 20}:     {4 * time.Second, 8 * time.Second},
		{"gas_lel_pct", 50}:     {7 * time.Second, 13 * time.Second},
		{"valve_state", 1}:      {10 * time.Second, 17 * time.Second},
		{"cable_temp_1_c", 60}:  {24 * time.Second, 34 * time.Second},
		{"cable_temp_1_c", 70}:  {28 * time.Second, 40 * time.Second},
		{"cable_temp_1_c", 80}:  {32 * time.Second, 48 * time.Second},
		{"pond_level_m", 119.7}: {25 * time.Second, 45 * time.Second},
		{"pond_level_m", 120}:   {35 * time.Second, 55 * time.Second},
		{"pond_level_m", 120.4}: {45 * time.Second, 75 * time.Second},
		{"tilt_x_deg", 0.5}:     {30 * time.Second, 60 * time.Second},
		{"tilt_x_deg", 1}:       {40 * time.Second, 75 * time.Second},
		{"tilt_x_deg", 2}:       {50 * time.Second, 110 * time.Second},
	}
	var limits []crossing
	for x := range within {
		limits = append(limits, x)
	}
	first := firstCrossings(t, 2*time.Minute, limits, Story()...)
	for x, span := range within {
		if at := first[x]; at < span[0] || at > span[1] {
			t.Errorf("%s reaches %v after %v; want between %v and %v", x.field, x.limit, at, span[0], span[1])
		}
	}
}

func TestTheStoryStopsShortOfTheWorstWherePeopleCanStillAct(t *testing.T) {
	tooFar := []crossing{{"pond_level_m", 120.9}, {"tilt_x_deg", 5}, {"gas_lel_pct", 100}, {"cable_temp_1_c", 150}}
	first := firstCrossings(t, 40*time.Minute, tooFar, Story()...)
	if len(first) > 0 {
		t.Errorf("the story goes too far: %v", first)
	}
}

func TestRoundsGoOnForEverAndTakeTurns(t *testing.T) {
	leak := gasLeak()
	leak.Cast = 2
	c := newTestCounty(t, 1, leak)
	c.Step(noon, nil)
	alarms := map[string]int{}
	high := map[string]bool{}
	for at := time.Second; at <= leak.First+6*leak.Every; at += time.Second {
		for _, m := range c.Step(noon.Add(at), nil) {
			all, _ := decode(t, m.Payload)
			gas, ok := all[0].Values["gas_lel_pct"]
			if ok && gas >= highSetPoint && !high[m.Topic] {
				alarms[m.Topic]++
			}
			if ok {
				high[m.Topic] = gas >= highSetPoint
			}
		}
	}
	if len(alarms) != 2 {
		t.Fatalf("leaks at %v; want both restaurants of the cast", alarms)
	}
	for topic, n := range alarms {
		if n != 3 {
			t.Errorf("%s: %d leaks in six rounds of two, want 3", topic, n)
		}
	}
}
