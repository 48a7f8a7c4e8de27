package simulate

import (
	"math"
	"math/rand/v2"

	"fengsui/devices"
)

// meter is a three-phase electricity meter of a plant: the load follows the
// shifts, current follows the load, voltage sags a little under it, and the
// counter adds up the power.
type meter struct {
	rng       *rand.Rand
	rated     float64 // A
	begins    float64 // of the day shift, local hour
	ends      float64
	night     float64 // share of the rated current at night
	day       float64 // and by day
	share     [3]float64
	load      drift
	phases    [3]drift
	supply    [3]drift
	frequency drift
	energy    float64 // kWh
}

func newMeter(d *devices.Device, rng *rand.Rand) *meter {
	m := &meter{
		rng:       rng,
		rated:     design(d, "rated_current_a", 400),
		begins:    between(rng, 7, 8.5),
		ends:      between(rng, 17, 21),
		night:     between(rng, 0.12, 0.3),
		day:       between(rng, 0.48, 0.6),
		load:      drift{sigma: 0.02, tau: 90},
		frequency: drift{sigma: 0.012, tau: 30},
		energy:    math.Round(between(rng, 2e5, 3e6)),
	}
	for i := range 3 {
		m.share[i] = between(rng, 0.97, 1.03)
		m.phases[i] = drift{sigma: 0.008, tau: 20}
		m.supply[i] = drift{sigma: 0.7, tau: 120}
	}
	return m
}

func (m *meter) step(t tick, out []sample) []sample {
	load := m.loadFactor(t)
	var volts, amps [3]float64
	for i := range 3 {
		volts[i] = 226 - 6*load + m.supply[i].step(t.seconds, m.rng)
		amps[i] = m.rated * load * (m.share[i] + m.phases[i].step(t.seconds, m.rng))
	}
	factor := 0.89 + 0.07*clamp(load, 0, 1)
	apparent := (volts[0]*amps[0] + volts[1]*amps[1] + volts[2]*amps[2]) / 1000
	power := apparent * factor
	m.energy += power * t.seconds / 3600

	return append(out,
		measured("voltage_a_v", volts[0], 1),
		measured("voltage_b_v", volts[1], 1),
		measured("voltage_c_v", volts[2], 1),
		measured("current_a_a", amps[0], 1),
		measured("current_b_a", amps[1], 1),
		measured("current_c_a", amps[2], 1),
		measured("active_power_kw", power, 2),
		measured("reactive_power_kvar", math.Sqrt(apparent*apparent-power*power), 2),
		measured("power_factor", factor, 3),
		measured("frequency_hz", 50+m.frequency.step(t.seconds, m.rng), 3),
		measured("energy_import_kwh", m.energy, 2),
	)
}

// loadFactor is the current as a share of the rated one.
func (m *meter) loadFactor(t tick) float64 {
	hour := hourOfDay(t.now)
	shift := working(hour, m.begins, m.ends) * (1 - 0.25*bell(hour, 12.3, 0.5)) // lunch
	load := m.night + (m.day-m.night)*shift + m.load.step(t.seconds, m.rng)
	return max(load, 0.05) + t.forces[Overload]
}
