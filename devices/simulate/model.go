package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"fengsui/devices"
)

// model is the physics of one device.
type model interface {
	// step moves the model on to t.now and appends what the device measures then.
	step(t tick, out []sample) []sample
}

// tick is one step in time.
type tick struct {
	now     time.Time
	seconds float64 // since the step before, by the clock
	hours   float64 // the same for slow processes (weather, water, heat, creep), at the county's pace
	forces  forces
}

// sample is one value as a device would send it.
type sample struct {
	field    string
	number   float64
	decimals int
	event    float64 // report at once when it changed by this much; 0: at the next interval
}

func measured(field string, number float64, decimals int) sample {
	return sample{field: field, number: number, decimals: decimals}
}

// state is a value of an enumeration: a change is reported at once.
func state(field string, number float64) sample {
	return sample{field: field, number: number, event: 1}
}

// eventful reports whether a value changed so much that a device would not wait
// for its interval.
func eventful(sent, now []sample) bool {
	for i := range sent {
		if now[i].event > 0 && math.Abs(now[i].number-sent[i].number) >= now[i].event {
			return true
		}
	}
	return false
}

// appendPayload writes a house message: {"ts":…,"seq":…,"values":{…}}.
func appendPayload(dst []byte, at time.Time, seq uint64, samples []sample) []byte {
	dst = append(dst, `{"ts":`...)
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"values":{`...)
	for i, s := range samples {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, s.field...)
		dst = append(dst, `":`...)
		dst = strconv.AppendFloat(dst, rounded(s.number, s.decimals), 'f', s.decimals, 64)
	}
	return append(dst, "}}"...)
}

// rounded to so many decimals; a rounded zero is no negative one.
func rounded(x float64, decimals int) float64 {
	shift := math.Pow10(decimals)
	return math.Round(x*shift)/shift + 0
}

// newModel gives a device the physics of its kind; nil where there is none.
func newModel(d *devices.Device, rng *rand.Rand) model {
	switch d.Kind.ID {
	case "electricity_meter":
		return newMeter(d, rng)
	case "electrical_fire":
		return newFireUnit(d, rng)
	case "combustible_gas":
		return newGasAlarm(d, rng)
	case "tailings_pond":
		return newPond(d, rng)
	case "slope":
		return newSlope(d, rng)
	default:
		return nil
	}
}

// design looks a design value up; a device without one gets a usual value.
func design(d *devices.Device, param string, usual float64) float64 {
	if v, ok := d.Param(param); ok {
		return v
	}
	return usual
}

// radio is the battery and the signal of a device that has no mains.
type radio struct {
	battery float64
	rssi    float64
	fading  drift
	sun     drift
}

func newRadio(rng *rand.Rand) radio {
	return radio{
		battery: between(rng, 3.27, 3.33),
		rssi:    between(rng, -92, -68),
		fading:  drift{sigma: 1.5, tau: 60},
		sun:     drift{sigma: 0.006, tau: 600},
	}
}

// step: a LiFePO4 cell behind a solar panel hardly moves but for the sun.
func (r *radio) step(t tick, rng *rand.Rand, out []sample) []sample {
	charge := 0.02 * bell(hourOfDay(t.now), 13, 4)
	return append(out,
		measured("battery_v", r.battery+charge+r.sun.step(t.seconds, rng), 3),
		measured("rssi_dbm", r.rssi+r.fading.step(t.seconds, rng), 0))
}

// seeded gives every device its own stream of chance, so that a device added to
// the county does not change what the others do.
func seeded(seed uint64, key string) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// topic of a device's telemetry in the house format.
func topic(d *devices.Device) string {
	return fmt.Sprintf("v1/%s/%s/telemetry", d.Site.ID, d.ID)
}

// statusTopic is where a device, or its last will, says whether it is online.
func statusTopic(d *devices.Device) string {
	return fmt.Sprintf("v1/%s/%s/status", d.Site.ID, d.ID)
}
