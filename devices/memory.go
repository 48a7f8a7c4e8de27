package devices

import "slices"

// ring remembers the last fingerprints of one sender.
type ring struct {
	prints []uint64
	next   int // where the oldest stands once the ring is full
}

func (r *ring) has(print uint64) bool { return slices.Contains(r.prints, print) }

// add remembers a fingerprint; when there are most, it forgets the oldest.
func (r *ring) add(print uint64, most int) {
	if len(r.prints) < most {
		r.prints = append(r.prints, print)
		return
	}
	r.prints[r.next] = print
	r.next = (r.next + 1) % len(r.prints)
}

// deviceMemory is what the intake holds of a device.
type deviceMemory struct {
	clock deviceClock
	seen  ring // of samples, by their own time and content

	complaint clockComplaint
	counters  []counterMemory
}

// seenMost samples of a device are remembered: enough for a bridge that repeats
// its queue after a reconnect, and little beside what else is held of a device.
const seenMost = 64

// clientMemory holds the deliveries of one client. When an acknowledgement is
// lost, the sender repeats what was in flight, which is as much as it sends in
// a round trip: few for a detector, thousands for a bridge. So the ring grows
// while a lap through it takes less than a minute.
type clientMemory struct {
	seen     ring
	most     int
	lapStart int64 // when the ring was last begun again, Unix ms
	heard    int64 // last message, Unix ms
}

const (
	fewDeliveries  = 16
	mostDeliveries = 4096
	shortLap       = minute
)

func (c *clientMemory) add(print uint64, received int64) {
	c.heard = received
	if c.most == 0 {
		c.most, c.lapStart = fewDeliveries, received
	}
	if len(c.seen.prints) == c.most && c.seen.next == 0 { // a lap is complete
		if received-c.lapStart < shortLap && c.most < mostDeliveries {
			c.most *= 2
		}
		c.lapStart = received
	}
	c.seen.add(print, c.most)
}

// clients are the memories of all clients, by clientPrint.
type clients map[uint64]*clientMemory

// mostClients bounds them: client ids may be made up anew at each connect.
const mostClients = 1 << 16

func (c clients) of(print uint64) *clientMemory {
	m := c[print]
	if m == nil {
		if len(c) >= mostClients {
			c.forget()
		}
		m = new(clientMemory)
		c[print] = m
	}
	return m
}

// forget drops the half that was heard least recently.
func (c clients) forget() {
	heard := make([]int64, 0, len(c))
	for _, m := range c {
		heard = append(heard, m.heard)
	}
	slices.Sort(heard)
	limit := heard[len(heard)/2]
	for print, m := range c {
		if m.heard <= limit {
			delete(c, print)
		}
	}
}
