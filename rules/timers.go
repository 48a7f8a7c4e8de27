package rules

// waiter is what waits for a time of the judge's clock.
type waiter interface {
	// deadline is when it wants to be woken; never if it does not.
	deadline() int64
	// ring is called when the clock has reached the deadline.
	ring(e *Engine, at int64, out []Change) []Change
}

// timer is the place of a waiter in the queue.
type timer struct {
	at    int64 // not after the waiter's deadline
	order int64 // decides between equal deadlines; fixed by the registry
	place int   // in the queue, counted from 1; 0: not queued
	owner waiter
}

// timers wakes waiters in the order of their deadlines. A deadline that moves
// back is noticed only when its old time comes, so that a device that speaks
// costs nothing here.
type timers struct {
	queue []*timer // a heap
}

// set queues a timer, or moves it forward. A deadline that moved back stays
// where it is until next looks at it.
func (q *timers) set(t *timer) {
	at := t.owner.deadline()
	switch {
	case t.place == 0 && at != never:
		t.at = at
		q.queue = append(q.queue, t)
		t.place = len(q.queue)
		q.up(t.place - 1)
	case t.place != 0 && at < t.at:
		t.at = at
		q.up(t.place - 1)
	}
}

// next is the timer with the earliest deadline, nil if nobody waits.
func (q *timers) next() *timer {
	for len(q.queue) > 0 {
		t := q.queue[0]
		switch at := t.owner.deadline(); {
		case at == never:
			q.dropFirst()
		case at > t.at:
			t.at = at
			q.down(0)
		default:
			return t
		}
	}
	return nil
}

// sooner says which of two timers rings first.
func sooner(a, b *timer) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.order < b.order
}

func (q *timers) dropFirst() {
	t, last := q.queue[0], len(q.queue)-1
	q.swap(0, last)
	q.queue[last] = nil
	q.queue = q.queue[:last]
	t.place = 0
	q.down(0)
}

func (q *timers) less(i, j int) bool { return sooner(q.queue[i], q.queue[j]) }

func (q *timers) swap(i, j int) {
	q.queue[i], q.queue[j] = q.queue[j], q.queue[i]
	q.queue[i].place, q.queue[j].place = i+1, j+1
}

func (q *timers) up(i int) {
	for i > 0 && q.less(i, (i-1)/2) {
		q.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (q *timers) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q.queue); child++ {
			if q.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}
