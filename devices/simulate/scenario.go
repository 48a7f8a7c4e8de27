package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"fengsui/devices"
)

// Force is what a scenario can do to a device.
type Force int

const (
	Leak         Force = iota // combustible_gas: %LEL a second that flow into the room
	LooseContact              // electrical_fire: K by which a bad terminal heats the first cable
	Leakage                   // electrical_fire: mA more to earth
	Overload                  // electricity_meter: share of the rated current on top of the load
	Rain                      // tailings_pond, slope: mm an hour
	BlockedDrain              // tailings_pond: share of the drain that is blocked
	Rezero                    // slope: surveyors set the instruments anew
	Silence                   // any: the connection breaks; on return the device sends what it kept
	forceCount
)

// forces is what acts upon one device at one moment.
type forces [forceCount]float64

// Act applies a force for a while.
type Act struct {
	Force Force
	Value float64
	At    time.Duration // after the round began
	Lasts time.Duration
}

// Scenario is a story about devices of one kind. It is played in rounds: each
// round strikes the next device of the cast, a little harder or softer than the
// last.
type Scenario struct {
	Name  string
	Title devices.Text
	Kind  string        // of the device it strikes
	Also  []string      // kinds struck with it, everywhere in the same area
	Cast  int           // how many devices of the kind take turns
	First time.Duration // when the first round begins
	Every time.Duration // from one round to the next
	Acts  []Act
}

// Story is what happens in the demo: all of it begins within its first minute,
// and it goes on for ever.
func Story() []Scenario {
	return []Scenario{gasLeak(), heavyRain(), hotCable(), silentPlant()}
}

// Scenarios are all that can be played, by name.
func Scenarios() []Scenario {
	return append(Story(), blockedDrain(), overload(), earthLeakage())
}

// FindScenario finds one by name.
func FindScenario(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("there is no scenario %q; there are %v", name, names)
}

func gasLeak() Scenario {
	return Scenario{
		Name:  "gas_leak",
		Title: devices.Text{ZH: "餐饮场所燃气泄漏", EN: "Gas leak in a restaurant"},
		Kind:  "combustible_gas", Cast: 3,
		First: 2 * time.Second, Every: 4 * time.Minute,
		Acts: []Act{{Force: Leak, Value: 8, Lasts: 25 * time.Second}},
	}
}

func heavyRain() Scenario {
	return Scenario{
		Name:  "heavy_rain",
		Title: devices.Text{ZH: "短时强降雨：库水位上涨、边坡变形加速", EN: "Cloudburst: a pond rises, a slope creeps faster"},
		Kind:  "tailings_pond", Also: []string{"slope"}, Cast: 2,
		First: 12 * time.Second, Every: 12 * time.Minute,
		Acts: []Act{
			{Force: Rain, Value: 90, Lasts: 30 * time.Second},
			{Force: Rezero, Value: 1, At: 8 * time.Minute, Lasts: time.Second},
		},
	}
}

func hotCable() Scenario {
	return Scenario{
		Name:  "hot_cable",
		Title: devices.Text{ZH: "电缆接头松动过热", EN: "A loose terminal overheats a cable"},
		Kind:  "electrical_fire", Cast: 3,
		First: 8 * time.Second, Every: 6 * time.Minute,
		Acts: []Act{{Force: LooseContact, Value: 65, Lasts: 130 * time.Second}},
	}
}

func silentPlant() Scenario {
	return Scenario{
		Name:  "silent_plant",
		Title: devices.Text{ZH: "企业用电监测失联", EN: "The electricity meter of a plant goes silent"},
		Kind:  "electricity_meter", Cast: 2,
		First: 28 * time.Second, Every: 7 * time.Minute,
		Acts: []Act{{Force: Silence, Value: 1, Lasts: 150 * time.Second}},
	}
}

func blockedDrain() Scenario {
	return Scenario{
		Name:  "blocked_drain",
		Title: devices.Text{ZH: "尾矿库排水管涵堵塞", EN: "The drain of a tailings pond is blocked in the rain"},
		Kind:  "tailings_pond", Cast: 2,
		First: 5 * time.Second, Every: 15 * time.Minute,
		Acts: []Act{
			{Force: BlockedDrain, Value: 0.9, Lasts: 5 * time.Minute},
			{Force: Rain, Value: 60, At: 10 * time.Second, Lasts: time.Minute},
		},
	}
}

func overload() Scenario {
	return Scenario{
		Name:  "overload",
		Title: devices.Text{ZH: "企业超负荷用电", EN: "A plant draws more than its rated current"},
		Kind:  "electricity_meter", Cast: 3,
		First: 5 * time.Second, Every: 20 * time.Minute,
		Acts: []Act{{Force: Overload, Value: 0.8, Lasts: 13 * time.Minute}},
	}
}

func earthLeakage() Scenario {
	return Scenario{
		Name:  "earth_leakage",
		Title: devices.Text{ZH: "线路受潮、剩余电流增大", EN: "A damp line leaks to earth"},
		Kind:  "electrical_fire", Cast: 3,
		First: 5 * time.Second, Every: 6 * time.Minute,
		Acts: []Act{{Force: Leakage, Value: 520, Lasts: 2 * time.Minute}},
	}
}

// play is a scenario while it is being played: who has which part, and how far
// the round is.
type play struct {
	scenario Scenario
	cast     []*unit
	also     map[string][]*unit // by area
	rng      *rand.Rand

	round    int
	strength float64
	struck   []*unit
}

// newPlay hands out the parts by chance.
func newPlay(s Scenario, units []*unit, seed uint64) (*play, error) {
	p := &play{scenario: s, rng: seeded(seed, "scenario "+s.Name), also: map[string][]*unit{}, round: -1}
	for _, u := range units {
		if u.device.Kind.ID == s.Kind {
			p.cast = append(p.cast, u)
		}
		if slices.Contains(s.Also, u.device.Kind.ID) {
			area := u.device.Site.Area
			p.also[area] = append(p.also[area], u)
		}
	}
	if len(p.cast) == 0 {
		return nil, fmt.Errorf("scenario %s needs a device of kind %s that is in service, and there is none", s.Name, s.Kind)
	}
	p.rng.Shuffle(len(p.cast), func(i, j int) { p.cast[i], p.cast[j] = p.cast[j], p.cast[i] })
	p.cast = p.cast[:min(max(s.Cast, 1), len(p.cast))]
	return p, nil
}

// act lets the scenario act upon its devices at a moment of the story.
func (p *play) act(at time.Duration) {
	since := at - p.scenario.First
	if since < 0 {
		return
	}
	if round := int(since / p.scenario.Every); round != p.round {
		p.begin(round)
	}
	since %= p.scenario.Every
	for _, a := range p.scenario.Acts {
		if a.At <= since && since < a.At+a.Lasts {
			for _, u := range p.struck {
				u.forces[a.Force] += a.Value * p.strength
			}
		}
	}
}

// begin strikes the next of the cast. The first round is as the table says.
func (p *play) begin(round int) {
	p.round, p.strength = round, 1
	if round > 0 {
		p.strength = between(p.rng, 0.93, 1.06)
	}
	lead := p.cast[round%len(p.cast)]
	p.struck = append(p.struck[:0], lead)
	p.struck = append(p.struck, p.also[lead.device.Site.Area]...)
}
