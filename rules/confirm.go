package rules

import "math/bits"

// maxConfirm is how many samples a rule with confirm looks back at most: the
// bits of a vote.
const maxConfirm = 8

// votes remembers of every step which of the last samples were at its limit or
// beyond, the newest in the lowest bit.
type votes [maxSteps]uint8

// confirmed adds what a sample says and tells at which steps enough of the last
// samples agree. What is beyond the range on the dangerous side waits for nobody.
func (l *ladder) confirmed(s *state, x *sample, beyond uint8) (up uint8) {
	for i := range l.steps {
		s.votes[i] = (s.votes[i]<<1 | beyond>>i&1) & (1<<l.quorum.Of - 1)
		if bits.OnesCount8(s.votes[i]) >= l.quorum.N {
			up |= 1 << i
		}
	}
	if x.is(sampleOver) {
		return beyond
	}
	return up
}
