package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// A block file of the log server is a run of records, little-endian:
//
//	length 4 | number 8 | time 8 | subject length 2 | subject | [length of headers 4 | headers] | body | hash 8
//
// The hash is over all but the three lengths; headers, which all that we write has,
// tell where the subject ends. The highest bit of the length says that there are
// headers; those of the number, that the record is erased, or tells of an erased
// one elsewhere.
const (
	recordHead  = 4 + 8 + 8 + 2
	recordHash  = 8
	recordLeast = recordHead + recordHash

	withHeaders = 1 << 31
	erased      = 1 << 63
	tombstone   = 1 << 62
)

// block is what a block file holds, and what it takes to tell whether a record in
// it is whole.
type block struct {
	data []byte
	hash hash.Hash64
	sum  []byte
}

// newBlock reads the data of a stream's block of that index: each has hashes of
// its own.
func newBlock(stream string, index int, data []byte) (*block, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, index))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		return nil, fmt.Errorf("hash of the blocks: %w", err)
	}
	return &block{data: data, hash: h}, nil
}

func recordLength(r []byte) int { return int(binary.LittleEndian.Uint32(r) &^ withHeaders) }

// numberOf is the number of a record, 0 where it holds no entry.
func numberOf(r []byte) uint64 {
	n := binary.LittleEndian.Uint64(r[4:])
	if n&tombstone != 0 {
		return 0
	}
	return n &^ erased
}

// whole reports whether r is one record, as it was written.
func (b *block) whole(r []byte) bool {
	if len(r) < recordLeast || recordLength(r) != len(r) {
		return false
	}
	return bytes.Equal(b.hashOf(r), r[len(r)-recordHash:])
}

// hashOf is nil where the lengths inside do not fit.
func (b *block) hashOf(r []byte) []byte {
	subject := int(binary.LittleEndian.Uint16(r[20:]))
	rest := r[recordHead : len(r)-recordHash]
	if subject > len(rest) {
		return nil
	}
	b.hash.Reset()
	b.hash.Write(r[4:20])
	b.hash.Write(rest[:subject])
	rest = rest[subject:]
	if binary.LittleEndian.Uint32(r)&withHeaders != 0 {
		if !headersFit(rest) {
			return nil
		}
		rest = rest[4:]
	}
	b.hash.Write(rest)
	b.sum = b.hash.Sum(b.sum[:0])
	return b.sum
}

// headersFit looks at what the hash does not cover: where the headers end.
func headersFit(rest []byte) bool {
	if len(rest) < 4 {
		return false
	}
	n := binary.LittleEndian.Uint32(rest)
	rest = rest[4:]
	return uint64(n) <= uint64(len(rest)) && bytes.HasPrefix(rest, []byte("NATS/1.0")) && bytes.HasSuffix(rest[:n], []byte("\r\n\r\n"))
}

// damage is a run of bytes that is no whole record, and the numbers of the entries
// before and behind it: 0 where there are none.
type damage struct {
	from, to     int
	before, next uint64
}

// damages goes through the records. Behind a damaged one it looks for the next that
// is whole; records counts those.
func (b *block) damages() (found []damage, records int) {
	var last uint64
	for at := 0; at < len(b.data); {
		if r, ok := b.recordAt(at); ok {
			last = max(last, numberOf(r))
			at += len(r)
			records++
			continue
		}
		d := damage{from: at, to: len(b.data), before: last}
		for next := at + recordLeast; next < len(b.data); next++ {
			if r, ok := b.recordAt(next); ok && (numberOf(r) > last || numberOf(r) == 0) {
				d.to, d.next = next, numberOf(r)
				break
			}
		}
		found = append(found, d)
		at = d.to
	}
	return found, records
}

func (b *block) recordAt(at int) ([]byte, bool) {
	rest := b.data[at:]
	if len(rest) < recordLeast {
		return nil, false
	}
	n := recordLength(rest)
	if n < recordLeast || n > len(rest) {
		return nil, false
	}
	return rest[:n], b.whole(rest[:n])
}

// putRight finds the one bit that has flipped in what was one record, or its right
// length. A bit takes a hash of the record to try, so where that would take more
// bytes to hash than there is patience, it tries the bits of the head alone.
func (b *block) putRight(d damage, patience *int) bool {
	r := b.data[d.from:d.to]
	if len(r) < recordLeast {
		return false
	}
	was := binary.LittleEndian.Uint32(r)
	binary.LittleEndian.PutUint32(r, uint32(len(r))|was&withHeaders)
	if b.whole(r) {
		return true
	}
	until := 8 * len(r)
	if until*len(r) > *patience {
		until = 8 * recordHead
	}
	*patience -= until * len(r)
	for bit := 31; bit < until; bit++ { // lower ones are the length's
		r[bit/8] ^= 1 << (bit % 8)
		if b.whole(r) {
			return true
		}
		r[bit/8] ^= 1 << (bit % 8)
	}
	binary.LittleEndian.PutUint32(r, was)
	return false
}

// strikeOut makes what is damaged one erased record, over which the server goes on
// to the next. It takes the number of the first entry that is gone.
func (b *block) strikeOut(d damage) {
	r := b.data[d.from:d.to]
	number := d.before + 1
	switch {
	case d.next > 0 && number >= d.next:
		number = 0 // none is missing
	case d.before == 0 && d.next > 0:
		number = d.next - 1
	}
	binary.LittleEndian.PutUint32(r, uint32(len(r)))
	binary.LittleEndian.PutUint64(r[4:], number|erased)
	binary.LittleEndian.PutUint64(r[12:], 0)
	binary.LittleEndian.PutUint16(r[20:], 0)
	copy(r[len(r)-recordHash:], b.hashOf(r))
}
