package devices

import (
	"math"
	"math/bits"
)

// Fingerprints recognise a repetition. They are kept in the judge's snapshot,
// so they must be the same in every process; they need not resist malice: a
// device that finds a collision has only its own reading taken for a repetition.

// mix folds one word into a fingerprint (the multiply-and-fold of wyhash).
func mix(h, word uint64) uint64 {
	high, low := bits.Mul64(h^0x9e3779b97f4a7c15, word^0xe7037ed1a0b428db)
	return high ^ low
}

func mixString[T string | []byte](h uint64, text T) uint64 {
	h = mix(h, uint64(len(text)))
	for len(text) > 8 {
		h = mix(h, word(text))
		text = text[8:]
	}
	return mix(h, tail(text))
}

func word[T string | []byte](b T) uint64 {
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func tail[T string | []byte](b T) (w uint64) {
	for i := range len(b) {
		w |= uint64(b[i]) << (8 * i)
	}
	return w
}

// deliveryPrint is the same for two deliveries of one PUBLISH and, but for
// chance, for nothing else.
func deliveryPrint(in *Incoming) uint64 {
	h := mixString(uint64(in.PacketID), in.Topic)
	return mixString(h, in.Payload)
}

// clientPrint names a client of a source.
func clientPrint(in *Incoming) uint64 {
	return mixString(mixString(1, in.Source), in.Client)
}

// contentPrint is the same for two samples with the same seq and values, in
// whatever order the values stand.
func (d *Decoded) contentPrint(x *sample) uint64 {
	h := uint64(0)
	for i := x.from; i < x.to; i++ {
		v := &d.values[i]
		h += mix(v.Field.hash, math.Float64bits(v.Number))
	}
	return mix(mix(h, x.seq), uint64(x.to-x.from))
}
