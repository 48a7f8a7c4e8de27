package simulate

import (
	"math/rand/v2"

	"fengsui/devices"
)

// slope is a hillside with a crack gauge, a tilt meter and a GNSS station. Rain
// soaks in and drains within hours; beyond a threshold the hillside creeps, the
// faster the wetter and the steeper it is. What has moved stays moved until
// surveyors set the instruments anew.
type slope struct {
	rng   *rand.Rand
	gauge rainGauge
	water float64 // antecedent rain still in the ground, mm
	moved float64 // mm since the instruments were set
	give  float64 // mm an hour for every mm² of water beyond the threshold
	crack float64 // mm, when the instruments were set
	toe   float64 // share of the movement that goes down
	radio radio
	gnss  [3]drift
	tilt  [2]drift
}

const (
	drynessHours  = 2.5   // the ground drains in this time
	soakThreshold = 11.0  // mm the ground takes without moving
	dryCreep      = 0.001 // mm an hour, in dry weather
	steepAngle    = 45.0  // from here a storm moves the hillside
	tiltPerMM     = 0.1   // ° for every mm moved
)

func newSlope(d *devices.Device, rng *rand.Rand) *slope {
	s := &slope{
		rng:   rng,
		gauge: newRainGauge(),
		give:  0.0008,
		crack: between(rng, 3, 10),
		toe:   between(rng, 0.3, 0.6),
		radio: newRadio(rng),
	}
	if design(d, "slope_angle_deg", 30) >= steepAngle {
		s.give = 0.044
	}
	for i := range s.gnss {
		s.gnss[i] = drift{sigma: 0.7, tau: 200}
	}
	for i := range s.tilt {
		s.tilt[i] = drift{sigma: 0.006, tau: 60}
	}
	return s
}

func (s *slope) step(t tick, out []sample) []sample {
	if t.forces[Rezero] > 0 {
		s.moved = 0
	}
	rain := t.forces[Rain] * t.hours
	hour, day := s.gauge.add(rain, t.hours)
	s.water = approach(s.water, 0, t.hours, drynessHours) + rain
	soaked := max(s.water-soakThreshold, 0)
	s.moved += (dryCreep + s.give*soaked*soaked) * t.hours

	down := s.toe * s.moved
	tilt := tiltPerMM * s.moved
	out = append(out,
		measured("gnss_dx_mm", 0.8*s.moved+s.gnss[0].step(t.seconds, s.rng), 1),
		measured("gnss_dy_mm", 0.6*s.moved+s.gnss[1].step(t.seconds, s.rng), 1),
		measured("gnss_dz_mm", -down+s.gnss[2].step(t.seconds, s.rng), 1),
		measured("crack_mm", s.crack+0.6*s.moved, 2),
		measured("tilt_x_deg", 0.9*tilt+s.tilt[0].step(t.seconds, s.rng), 3),
		measured("tilt_y_deg", 0.1*tilt+s.tilt[1].step(t.seconds, s.rng), 3),
		measured("soil_moisture_vol_pct", 16+14*s.water/(s.water+25), 1),
		measured("rain_1h_mm", hour, 1),
		measured("rain_24h_mm", day, 1),
	)
	return s.radio.step(t, s.rng, out)
}
