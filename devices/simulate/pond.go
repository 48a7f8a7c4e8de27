package simulate

import (
	"math/rand/v2"

	"fengsui/devices"
)

// pond is a tailings pond. Rain runs off its catchment with a lag and lifts the
// level; the drain lets it fall again, slowly. Beach and freeboard follow from
// the level at once, the seepage line within hours.
type pond struct {
	rng    *rand.Rand
	gauge  rainGauge
	runoff float64 // m of level still on its way down the catchment
	lift   float64 // m of level for every mm of rain
	rest   float64 // level in dry weather, m
	level  float64
	soaked float64 // level as the dam's inside feels it
	crest  float64 // m
	beach  float64 // m, at rest
	depth  float64 // of the seepage line, m, at rest
	radio  radio
	ripple drift
	gnss   [3]drift
}

const (
	referenceStorm = 45.0  // mm that bring the level to the pre-flood limit and a little over
	runoffHours    = 0.4   // from the hillside into the pond
	drainHours     = 5.0   // of the drain, to empty what the storm brought
	soakHours      = 6.0   // of the seepage line behind the level
	beachSlope     = 0.014 // a beach of 1.4 %
)

func newPond(d *devices.Device, rng *rand.Rand) *pond {
	control := design(d, "production_level_m", 120)
	preflood := design(d, "preflood_level_m", control+0.4)
	flood := design(d, "design_flood_level_m", preflood+0.5)
	p := &pond{
		rng:    rng,
		gauge:  newRainGauge(),
		rest:   control - between(rng, 0.65, 0.75),
		crest:  design(d, "crest_elev_m", flood+1.5),
		depth:  1.7 * design(d, "phreatic_control_depth_m", 6),
		radio:  newRadio(rng),
		ripple: drift{sigma: 0.004, tau: 20},
	}
	p.level, p.soaked = p.rest, p.rest
	p.lift = 1.5 * (preflood - p.rest) / referenceStorm
	p.beach = 2.2*design(d, "dry_beach_min_m", 50) + (preflood-p.rest)/beachSlope
	for i := range p.gnss {
		p.gnss[i] = drift{sigma: 0.8, tau: 300}
	}
	return p
}

func (p *pond) step(t tick, out []sample) []sample {
	rain := t.forces[Rain] * t.hours
	hour, day := p.gauge.add(rain, t.hours)

	p.runoff += rain * p.lift
	still := approach(p.runoff, 0, t.hours, runoffHours)
	open := 1 - clamp(t.forces[BlockedDrain], 0, 0.95)
	p.level = approach(p.level+p.runoff-still, p.rest, t.hours, drainHours/open)
	p.runoff = still
	p.soaked = approach(p.soaked, p.level, t.hours, soakHours)

	level := p.level + p.ripple.step(t.seconds, p.rng)
	above := max(p.level-p.rest, 0)
	out = append(out,
		measured("pond_level_m", level, 3),
		measured("dry_beach_m", p.beach-above/beachSlope, 1),
		measured("freeboard_m", p.crest-level, 3),
		measured("phreatic_depth_m", p.depth-0.6*(p.soaked-p.rest), 2),
		measured("disp_surf_x_mm", p.gnss[0].step(t.seconds, p.rng), 1),
		measured("disp_surf_y_mm", p.gnss[1].step(t.seconds, p.rng), 1),
		measured("disp_surf_z_mm", p.gnss[2].step(t.seconds, p.rng), 1),
		measured("seepage_l_s", 2.4+1.8*max(p.soaked-p.rest, 0), 2),
		measured("drain_flow_m3_h", (90+420*above)*open, 0),
		measured("rain_1h_mm", hour, 1),
		measured("rain_24h_mm", day, 1),
	)
	return p.radio.step(t, p.rng, out)
}
