package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

// approach is a first-order response: where x is after dt on its way to target,
// with time constant tau. It is exact for any dt, so it cannot overshoot.
func approach(x, target, dt, tau float64) float64 {
	return target + (x-target)*math.Exp(-dt/tau)
}

// drift is noise with a memory (Ornstein-Uhlenbeck), so that neighbouring
// samples resemble each other as those of a real sensor do. It never leaves
// three sigma.
type drift struct {
	sigma float64
	tau   float64 // seconds over which it forgets
	x     float64
}

func (d *drift) step(dt float64, rng *rand.Rand) float64 {
	keep := math.Exp(-dt / d.tau)
	d.x = d.x*keep + d.sigma*math.Sqrt(1-keep*keep)*rng.NormFloat64()
	d.x = clamp(d.x, -3*d.sigma, 3*d.sigma)
	return d.x
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }

// between draws a number from [low, high).
func between(rng *rand.Rand, low, high float64) float64 { return low + (high-low)*rng.Float64() }

// slidingSum adds up what fell within the last `len(buckets) × width` hours.
type slidingSum struct {
	width   float64 // hours a bucket
	buckets []float64
	current int
	filled  float64 // hours in the current bucket
}

func newSlidingSum(hours float64, buckets int) slidingSum {
	return slidingSum{width: hours / float64(buckets), buckets: make([]float64, buckets)}
}

// add lets amount fall during the next hours and returns the sum.
func (s *slidingSum) add(amount, hours float64) float64 {
	s.buckets[s.current] += amount
	for s.filled += hours; s.filled >= s.width; s.filled -= s.width {
		s.current = (s.current + 1) % len(s.buckets)
		s.buckets[s.current] = 0
	}
	sum := 0.0
	for _, b := range s.buckets {
		sum += b
	}
	return sum
}

// rainGauge turns rainfall into the two sums that stations report.
type rainGauge struct{ hour, day slidingSum }

func newRainGauge() rainGauge {
	return rainGauge{hour: newSlidingSum(1, 60), day: newSlidingSum(24, 144)}
}

func (g *rainGauge) add(mm, hours float64) (hour, day float64) {
	return g.hour.add(mm, hours), g.day.add(mm, hours)
}

// localTime is the county's clock: the day pattern of its factories and kitchens
// must not depend on where the simulator runs.
var localTime = time.FixedZone("UTC+8", 8*60*60)

// hourOfDay is the county's local time as a number from 0 to 24.
func hourOfDay(t time.Time) float64 {
	t = t.In(localTime)
	return float64(t.Hour()) + float64(t.Minute())/60 + float64(t.Second())/3600
}

// working is 1 within working hours and 0 outside, with soft edges.
func working(hour, from, to float64) float64 {
	edge := func(x float64) float64 { return 1 / (1 + math.Exp(-x/0.35)) }
	return edge(hour-from) * edge(to-hour)
}

// bell is 1 at the hour named and falls off within width hours.
func bell(hour, at, width float64) float64 {
	d := (hour - at) / width
	return math.Exp(-d * d)
}
