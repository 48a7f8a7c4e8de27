package simulate

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fengsui/devices"
)

// noon is in the middle of a working day of the county.
var noon = time.Date(2026, 7, 1, 2, 0, 0, 0, time.UTC)

func newTestCounty(t testing.TB, seed uint64, scenarios ...Scenario) *County {
	t.Helper()
	c, err := NewCounty(CountyOptions{Devices: testDevices(), Scenarios: scenarios, Seed: seed, Pace: DemoPace})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// transcript is everything a county says in the given time, stepped as asked.
func transcript(c *County, lasts time.Duration, stride func() time.Duration) []byte {
	var all bytes.Buffer
	c.Step(noon, nil) // nobody measures before the first second is over
	for at := time.Duration(0); at < lasts; {
		at = min(at+stride(), lasts)
		for _, m := range c.Step(noon.Add(at), nil) {
			all.WriteString(m.Topic)
			all.Write(m.Payload)
			all.WriteByte('\n')
		}
	}
	return all.Bytes()
}

func TestTheSameSeedGivesTheSamePayloadsHoweverOftenItIsStepped(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		strides := rapid.SliceOfN(rapid.IntRange(1, 20_000), 1, 20).Draw(rt, "strides in ms")
		const lasts = 40 * time.Second

		i := 0
		uneven := func() time.Duration {
			i++
			return time.Duration(strides[i%len(strides)]) * time.Millisecond
		}
		even := func() time.Duration { return quarter }
		want := transcript(newTestCounty(t, seed, Story()...), lasts, even)
		got := transcript(newTestCounty(t, seed, Story()...), lasts, uneven)
		if !bytes.Equal(got, want) {
			rt.Fatalf("stepping unevenly gave %d bytes that differ from the %d of even steps", len(got), len(want))
		}
		if other := transcript(newTestCounty(t, seed+1, Story()...), lasts, even); bytes.Equal(other, want) {
			rt.Fatal("another seed gave the same payloads")
		}
	})
}

func TestADeviceMoreDoesNotChangeTheOthers(t *testing.T) {
	whole := testDevices()
	all, err := NewCounty(CountyOptions{Devices: whole, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	last := whole[len(whole)-1]
	few, err := NewCounty(CountyOptions{Devices: whole[:len(whole)-1], Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	var want []Message
	for _, m := range all.Step(noon.Add(time.Minute), all.Step(noon, nil)) {
		if m.Device != last {
			want = append(want, m)
		}
	}
	got := few.Step(noon.Add(time.Minute), few.Step(noon, nil))
	if len(got) != len(want) {
		t.Fatalf("%d messages without the last device, %d with it", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].Payload, want[i].Payload) {
			t.Fatalf("message %d: %s, want %s", i, got[i].Payload, want[i].Payload)
		}
	}
}

// houseMessage is a payload as its receiver reads it.
type houseMessage struct {
	TS     int64              `json:"ts"`
	Seq    uint64             `json:"seq"`
	Values map[string]float64 `json:"values"`
}

func decode(t rapid.TB, payload []byte) (messages []houseMessage, history bool) {
	t.Helper()
	var err error
	if history = payload[0] == '['; history {
		err = json.Unmarshal(payload, &messages)
	} else {
		messages = make([]houseMessage, 1)
		err = json.Unmarshal(payload, &messages[0])
	}
	if err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return messages, history
}

// mostInASecond is how far a value may move from one second to the next,
// whatever happens in the story; it bounds noise and physics alike.
var mostInASecond = map[string]float64{
	"gas_lel_pct": 9, "cable_temp_1_c": 6, "cable_temp_2_c": 1, "cable_temp_3_c": 1, "cable_temp_4_c": 1,
	"ambient_temp_c": 0.5, "residual_current_ma": 60,
	"pond_level_m": 0.06, "freeboard_m": 0.06, "dry_beach_m": 4, "phreatic_depth_m": 0.05,
	"crack_mm": 1, "rain_1h_mm": 4, "rain_24h_mm": 4,
	"voltage_a_v": 1.5, "current_a_a": 25, "frequency_hz": 0.03, "energy_import_kwh": 0.3,
	"battery_v": 0.005, "rssi_dbm": 4,
}

func TestValuesAreFiniteContinuousAndCountUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		story := gentle()
		c := newTestCounty(t, rapid.Uint64().Draw(rt, "seed"), story...)
		before := map[string]houseMessage{}
		c.Step(noon, nil)
		for at := time.Second; at <= 2*time.Minute; at += time.Second {
			for _, m := range c.Step(noon.Add(at), nil) {
				now := mustDecodeOne(rt, m)
				if last, ok := before[m.Topic]; ok {
					checkStep(rt, m.Topic, last, now)
				}
				before[m.Topic] = now
			}
		}
	})
}

// gentle is the story without the acts that break continuity on purpose.
func gentle() []Scenario {
	rain := heavyRain()
	rain.Acts = rain.Acts[:1]
	return []Scenario{gasLeak(), rain, hotCable(), earthLeakage()}
}

func mustDecodeOne(t rapid.TB, m Message) houseMessage {
	all, history := decode(t, m.Payload)
	if history {
		t.Fatalf("%s: history although nothing was silent", m.Topic)
	}
	if got := all[0].TS; got != m.At.UnixMilli() {
		t.Fatalf("%s: ts %d, want %d", m.Topic, got, m.At.UnixMilli())
	}
	return all[0]
}

func checkStep(t rapid.TB, topic string, last, now houseMessage) {
	if now.Seq != last.Seq+1 {
		t.Fatalf("%s: seq %d after %d", topic, now.Seq, last.Seq)
	}
	seconds := float64(now.TS-last.TS) / 1000
	for field, v := range now.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("%s: %s is %v", topic, field, v)
		}
		moved := math.Abs(v - last.Values[field])
		if most, ok := mostInASecond[field]; ok && moved > most*seconds {
			t.Fatalf("%s: %s went from %v to %v in %v s; more than %v a second", topic, field, last.Values[field], v, seconds, most)
		}
	}
	if now.Values["energy_import_kwh"] < last.Values["energy_import_kwh"] {
		t.Fatalf("%s: the energy counter ran backwards", topic)
	}
}

func TestSilentDevicesSendWhatTheyKeptAsHistory(t *testing.T) {
	silence := silentPlant()
	c := newTestCounty(t, 1, silence)
	struck := c.Breakable()
	if len(struck) != 2 {
		t.Fatalf("%d devices may fall silent, want the cast of 2", len(struck))
	}
	lasts := silence.Acts[0].Lasts
	c.Step(noon, nil)
	var silent *devices.Device
	for at := time.Second; at <= silence.First+lasts+5*time.Second; at += time.Second {
		messages := c.Step(noon.Add(at), nil)
		for _, d := range struck {
			if c.Silent(d) {
				silent = d
			}
		}
		for _, m := range messages {
			all, history := decode(t, m.Payload)
			switch {
			case history && m.Device != silent:
				t.Fatalf("%s sent history though it was never silent", m.Topic)
			case history:
				if want := keep; len(all) != want {
					t.Errorf("%d messages of history, want the newest %d", len(all), want)
				}
				return
			case c.Silent(m.Device):
				t.Fatalf("%s speaks while it is silent", m.Topic)
			}
		}
	}
	t.Fatal("the silent device never came back with its history")
}

func TestTimeSleptThroughIsNotSent(t *testing.T) {
	c := newTestCounty(t, 1)
	c.Step(noon, nil)
	woke := noon.Add(8 * time.Hour)
	for _, m := range c.Step(woke, nil) {
		if woke.Sub(m.At) > catchUp {
			t.Fatalf("%s: a message from %s before the county woke", m.Topic, woke.Sub(m.At))
		}
	}
}

func TestWhoIsSimulated(t *testing.T) {
	all := testDevices()
	all[0].State, all[1].State, all[2].State = devices.Planned, devices.Commissioning, devices.OutOfService
	all[3].Kind = &devices.Kind{ID: "vessel"}
	c, err := NewCounty(CountyOptions{Devices: all})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(c.Devices()); got != len(all)-4 {
		t.Errorf("%d of %d devices are simulated; want all but four", got, len(all))
	}
	if _, err := NewCounty(CountyOptions{Devices: all[:4]}); err == nil {
		t.Error("a county without a device to simulate was accepted")
	}
}
