package simulate

import (
	"math/rand/v2"

	"fengsui/devices"
)

// gasAlarm is a kitchen with a combustible gas detector. A leak fills the room
// towards a balance with its ventilation; at the high set point the controller
// shuts the valve, the fan blows and the gas decays. Some minutes later somebody
// opens the valve again by hand.
type gasAlarm struct {
	rng     *rand.Rand
	zero    float64 // what the sensor shows in clean air, %LEL
	kitchen float64 // and what cooking adds
	wander  drift
	gas     float64 // %LEL in the room
	tripped bool    // the last sample was at the high set point or above
	closing float64 // seconds since the controller told the valve to close
	closed  bool
	clean   float64 // seconds since the air became clean again
	fan     bool
}

// States of the valve, as in the kind combustible_gas.
const valveOpen, valveClosed = 0, 1

const (
	highSetPoint  = 50.0  // %LEL
	roomSeconds   = 25.0  // the air of the room is renewed in this time
	fanSeconds    = 9.0   // and in this one with the fan on
	valveSeconds  = 3.0   // a valve takes to close
	reopenSeconds = 120.0 // until somebody opens it again
)

func newGasAlarm(_ *devices.Device, rng *rand.Rand) *gasAlarm {
	return &gasAlarm{
		rng:     rng,
		zero:    between(rng, 0.1, 0.6),
		kitchen: between(rng, 0.1, 0.4),
		wander:  drift{sigma: 0.12, tau: 20},
	}
}

func (g *gasAlarm) step(t tick, out []sample) []sample {
	g.interlock(t.seconds)
	leak := t.forces[Leak] // %LEL a second
	if g.closed {
		leak = 0
	}
	renewal := roomSeconds
	if g.fan {
		renewal = fanSeconds
	}
	g.gas = approach(g.gas, leak*renewal, t.seconds, renewal)

	hour := hourOfDay(t.now)
	cooking := g.kitchen * (bell(hour, 11.7, 1) + bell(hour, 18.3, 1.3))
	shown := g.gas + max(g.zero+cooking+g.wander.step(t.seconds, g.rng), 0)
	g.tripped = shown >= highSetPoint

	concentration := measured("gas_lel_pct", clamp(shown, 0, 100), 1)
	concentration.event = 3 // detectors report a change of 3 %LEL at once
	return append(out, concentration,
		state("valve_state", either(g.closed, valveClosed, valveOpen)),
		state("fan_on", either(g.fan, 1, 0)))
}

// interlock is the controller on site; it needs no gateway.
func (g *gasAlarm) interlock(seconds float64) {
	switch {
	case g.tripped:
		g.fan = true
		g.clean = 0
		if g.closing += seconds; g.closing >= valveSeconds {
			g.closed = true
		}
	case g.gas < 2:
		if g.clean += seconds; g.clean >= reopenSeconds {
			g.closed, g.fan, g.closing = false, false, 0
		}
	}
}

func either(is bool, yes, no float64) float64 {
	if is {
		return yes
	}
	return no
}
