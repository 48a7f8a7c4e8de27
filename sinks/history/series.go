package history

import (
	"math"
	"slices"
	"sort"
)

// bucket is what a point measured in a stretch of time, from the first sample in
// it to the last. A single sample is a bucket without extent.
type bucket struct {
	from           int64  // event time of the first sample, Unix ms
	extent         uint32 // ms to the last one; the highest bit: not all was good
	min, max, last float32
}

const (
	bucketBytes = 24
	doubtful    = 1 << 31
	maxExtent   = doubtful - 1 // 24 days
)

func (b *bucket) to() int64        { return b.from + int64(b.extent&maxExtent) }
func (b *bucket) isDoubtful() bool { return b.extent&doubtful != 0 }

// join makes b span a later bucket too. What is no number says nothing about
// least, greatest and last.
func (b *bucket) join(later *bucket) {
	b.extent = uint32(later.to()-b.from) | (b.extent|later.extent)&doubtful
	b.take(later.min, later.max)
	if !isNaN(later.last) {
		b.last = later.last
	}
}

func (b *bucket) take(least, greatest float32) {
	if isNaN(b.min) || least < b.min {
		b.min = least
	}
	if isNaN(b.max) || greatest > b.max {
		b.max = greatest
	}
}

func isNaN(f float32) bool { return f != f }

var nan = float32(math.NaN())

// series is the past of one point, oldest first.
type series struct {
	field   string
	buckets []bucket
	lost    int64 // up to here something was there that is no longer held
}

const (
	smallestSeries = 16      // buckets
	largestSeries  = 1 << 16 // a sample a second for most of a day
)

// put adds a sample. It may come late, and it may come twice.
func (s *series) put(b bucket) {
	n := len(s.buckets)
	if n == 0 || b.from > s.buckets[n-1].to() {
		s.buckets = append(s.buckets, b)
		return
	}
	// The first bucket that ends at or after it.
	i := sort.Search(n, func(i int) bool { return s.buckets[i].to() >= b.from })
	at := &s.buckets[i]
	if b.from < at.from {
		s.buckets = slices.Insert(s.buckets, i, b)
		return
	}
	at.extent |= b.extent & doubtful
	at.take(b.min, b.max)
	if b.from == at.to() && !isNaN(b.last) {
		at.last = b.last
	}
}

// grow makes room for a sample within limit buckets. Where there is none left,
// what is old is told in fewer, longer buckets: the length of each is a fixed
// part of its age, so that the last minutes stay as they were measured.
func (s *series) grow(limit int, now, keep int64) {
	if len(s.buckets) < cap(s.buckets) && cap(s.buckets) <= limit {
		return
	}
	if size := max(smallestSeries, 2*len(s.buckets)); size <= limit {
		s.buckets = append(make([]bucket, 0, size), s.buckets...)
		return
	}
	s.forget(now - keep)
	for part := int64(limit); len(s.buckets) > limit*3/4; part /= 2 {
		if part == 0 { // everything happened just now: as much as fits
			s.dropOldest(limit / 4)
			continue
		}
		s.thin(now, part)
	}
	if cap(s.buckets) != limit {
		s.buckets = append(make([]bucket, 0, limit), s.buckets...)
	}
}

// thin joins neighbours as long as together they are no longer than a part of
// their age.
func (s *series) thin(now, part int64) {
	kept := s.buckets[:1]
	for i := 1; i < len(s.buckets); i++ {
		b := &s.buckets[i]
		last := &kept[len(kept)-1]
		if length := b.to() - last.from; length <= maxExtent && length*part <= now-b.to() {
			last.join(b)
			continue
		}
		kept = append(kept, *b)
	}
	s.buckets = kept
}

// forget drops what ended before a time.
func (s *series) forget(before int64) {
	s.dropOldest(sort.Search(len(s.buckets), func(i int) bool { return s.buckets[i].to() >= before }))
}

func (s *series) dropOldest(n int) {
	if n = min(n, len(s.buckets)); n == 0 {
		return
	}
	s.lost = max(s.lost, s.buckets[n-1].to())
	s.buckets = append(s.buckets[:0], s.buckets[n:]...)
}

// Point is what is known of a stretch of time: at its end.
type Point struct {
	Time           int64   // of the last sample in it, Unix ms
	Min, Max, Last float32 // NaN: nothing was measured
	Doubtful       bool    // some of it was not good
}

// pick gives about n points from a time on to another. A point of NaN stands
// where nothing was heard for longer than gap.
func (s *series) pick(from, to int64, n int, gap int64) []Point {
	points := make([]Point, 0, min(n, len(s.buckets))+2)
	slot := max(1, (to-from)/int64(n))
	first := sort.Search(len(s.buckets), func(i int) bool { return s.buckets[i].to() >= from })
	if first > 0 && (first == len(s.buckets) || s.buckets[first].from-s.buckets[first-1].to() <= gap) {
		first-- // the line comes in from the left
	}
	var open bucket
	var begun bool
	flush := func() {
		if begun {
			points = append(points, Point{Time: open.to(), Min: open.min, Max: open.max, Last: open.last, Doubtful: open.isDoubtful()})
		}
		begun = false
	}
	for i := first; i < len(s.buckets) && s.buckets[i].from <= to; i++ {
		b := &s.buckets[i]
		if i > first {
			if before := s.buckets[i-1].to(); b.from-before > gap {
				flush()
				points = append(points, Point{Time: before + 1, Min: nan, Max: nan, Last: nan})
			}
		}
		switch {
		case !begun:
			open, begun = *b, true
		case (open.to()-from)/slot == (b.to()-from)/slot && open.to() >= from && b.to()-open.from <= maxExtent:
			open.join(b)
		default:
			flush()
			open, begun = *b, true
		}
	}
	flush()
	return points
}
