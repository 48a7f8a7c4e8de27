package simulate

import (
	"math/rand/v2"

	"fengsui/devices"
)

// fireUnit watches a distribution board: four cables that warm up with the
// square of their load, the current that leaks to earth, and arcs.
type fireUnit struct {
	rng     *rand.Rand
	ambient float64 // °C
	room    drift
	load    drift
	share   [4]float64 // of the load each cable carries
	cable   [4]float64 // °C
	leakage float64    // mA, of the installation as it is
	leak    float64    // mA, smoothed
	wander  drift
}

const (
	ratedRise    = 32.0 // K a cable warms up at its rated load
	cableHours   = 0.5  // thermal time constant of a cable
	leakageHours = 0.2
)

func newFireUnit(d *devices.Device, rng *rand.Rand) *fireUnit {
	u := &fireUnit{
		rng:     rng,
		ambient: between(rng, 21, 27),
		room:    drift{sigma: 0.3, tau: 600},
		load:    drift{sigma: 0.03, tau: 120},
		leakage: between(rng, 35, 140),
		wander:  drift{sigma: 4, tau: 60},
	}
	u.leak = u.leakage
	for i := range u.cable {
		u.share[i] = between(rng, 0.75, 1)
		u.cable[i] = u.ambient + 6
	}
	return u
}

func (u *fireUnit) step(t tick, out []sample) []sample {
	hour := hourOfDay(t.now)
	room := u.ambient + 3*bell(hour, 15, 5) + u.room.step(t.seconds, u.rng)
	load := 0.25 + 0.4*working(hour, 7, 22) + u.load.step(t.seconds, u.rng)
	for i := range u.cable {
		current := max(load*u.share[i], 0)
		rise := ratedRise * current * current
		if i == 0 {
			rise += t.forces[LooseContact] // a bad terminal heats the first cable only
		}
		u.cable[i] = approach(u.cable[i], room+rise, t.hours, cableHours)
	}
	u.leak = approach(u.leak, u.leakage+t.forces[Leakage], t.hours, leakageHours)

	return append(out,
		measured("residual_current_ma", max(u.leak+u.wander.step(t.seconds, u.rng), 0), 0),
		measured("cable_temp_1_c", u.cable[0], 1),
		measured("cable_temp_2_c", u.cable[1], 1),
		measured("cable_temp_3_c", u.cable[2], 1),
		measured("cable_temp_4_c", u.cable[3], 1),
		measured("ambient_temp_c", room, 1),
		state("arc_half_cycles_1s", 0),
		state("detector_state", 0),
	)
}
