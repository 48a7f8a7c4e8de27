package devices

import "time"

// deviceClock follows one device's own clock. It decides what time a sample
// gets, and tells history apart from a clock that is wrong.
//
// What cannot be a time at all (before 2015, or more than five minutes ahead)
// is a wrong clock at once. A clock that was set back within those bounds, as
// after a battery change, or with a local time sold as UTC, is harder: its
// readings look like history, and to take them for history would silence the
// device. But two old samples that came one by one tell. A buffer that is
// emptied brings them closer together than they were measured; a wrong clock
// brings them as far apart, or, when it stands still, further. So from the
// second such sample on, those of a buffer are history, and those of a wrong
// clock are news.
type deviceClock struct {
	newest int64 // event time of the newest reading held, never ahead of our clock; 0: none

	// The last old sample that came by itself, since the clock was last right:
	// its own time, and when it came. 0: none.
	oldOwn, oldReceived int64
	wrong               bool // the clock was found wrong since then
}

const (
	second = int64(time.Second / time.Millisecond)
	minute = 60 * second

	earliest = 1420070400000 // 2015-01-01T00:00:00Z
	ahead    = 5 * minute
)

// credible reports whether a sample's own time can be one at all.
func (x *sample) credible(received int64) bool {
	return x.timed && x.own >= earliest && x.own <= received+ahead
}

// place gives a sample its event time and says what it is.
func (c *deviceClock) place(x *sample, in *Incoming, lateness, historyAfter int64) (at int64, flags Flags) {
	at = in.Received
	switch {
	case x.credible(in.Received):
		at, flags = c.placeByOwn(x, in, lateness, historyAfter)
	case x.timed || x.untimed:
		flags = ClockSuspect
	case in.Retained:
		flags = TooLate // nobody knows how old it is: it must not change anything
	}
	if x.array || in.Retained {
		flags |= History
	}
	if in.Again != 0 {
		flags |= History
		if c.newest-at > lateness {
			flags |= TooLate
		}
		if in.Again-at > historyAfter {
			flags |= Backfill
		}
	}
	c.newest = max(c.newest, min(at, in.Received))
	return at, flags
}

func (c *deviceClock) placeByOwn(x *sample, in *Incoming, lateness, historyAfter int64) (at int64, flags Flags) {
	late, age := c.newest-x.own, in.Received-x.own
	switch {
	case x.array || in.Retained || in.Again != 0:
		flags = History
	case late <= lateness && age <= historyAfter:
		c.oldOwn, c.wrong = 0, false
	default:
		switch c.judgeOld(x.own, in.Received) {
		case wrongClock:
			return in.Received, ClockSuspect
		case buffered:
			flags = History
		}
	}
	if late > 0 {
		flags |= History
	}
	if late > lateness {
		flags |= TooLate
	}
	if age > historyAfter && flags&History != 0 {
		flags |= Backfill
	}
	return x.own, flags
}

// origin is where an old sample that came by itself comes from.
type origin uint8

const (
	unclear origin = iota
	buffered
	wrongClock
)

// judgeOld compares an old sample with the one before it.
func (c *deviceClock) judgeOld(own, received int64) origin {
	const (
		jitter = minute      // of the way here, once the clock is known to be wrong
		still  = 10 * second // repetitions of one message come closer together
	)
	passed, elapsed, first := own-c.oldOwn, received-c.oldReceived, c.oldOwn == 0
	c.oldOwn, c.oldReceived = own, received
	switch {
	case first:
		return unclear
	case c.wrong && max(passed-elapsed, elapsed-passed) <= jitter:
		return wrongClock
	case passed < 0:
		c.wrong = false
		return unclear
	case elapsed < passed/2:
		c.wrong = false
		return buffered
	case elapsed <= 2*passed, elapsed >= still:
		c.wrong = true
		return wrongClock
	}
	return unclear
}
