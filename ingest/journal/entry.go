package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/klauspost/compress/s2"
)

// An entry as it lies in the store, little-endian:
//
//	0        1       2         4         8                16               24
//	| format | codec | 0 . . 0 | count   | epoch          | counter        |
//	24               32               40        44
//	| total          | time, Unix ms  | CRC32C  | body . . .
//
// The CRC covers the 40 bytes before it and the body as stored.
const (
	headerSize  = 44
	crcAt       = 40
	formatEntry = 1 // never 0, so that unwritten bytes are no entry

	codecPlain = 0
	codecS2    = 1

	// maxBody bounds what one entry may unpack to, so that a forged length
	// cannot take the memory.
	maxBody = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what the journal itself knows of an entry.
type header struct {
	Epoch   uint64 // of the log, see Log.Epoch
	Counter uint64 // of the writer, never twice in an epoch
	Count   uint32 // units in the entry
	Total   uint64 // units in the log up to and including it
	Millis  int64  // when it was appended
}

// appendEntry appends the entry of h and data to dst, packed where allowed and
// where that makes it shorter.
func appendEntry(dst []byte, h header, data []byte, pack bool) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	codec := byte(codecPlain)
	if pack {
		dst, codec = appendPacked(dst, data)
	} else {
		dst = append(dst, data...)
	}
	e := dst[start:]
	e[0], e[1] = formatEntry, codec
	binary.LittleEndian.PutUint32(e[4:], h.Count)
	binary.LittleEndian.PutUint64(e[8:], h.Epoch)
	binary.LittleEndian.PutUint64(e[16:], h.Counter)
	binary.LittleEndian.PutUint64(e[24:], h.Total)
	binary.LittleEndian.PutUint64(e[32:], uint64(h.Millis))
	binary.LittleEndian.PutUint32(e[crcAt:], checksum(e))
	return dst
}

func appendPacked(dst, data []byte) ([]byte, byte) {
	at := len(dst)
	room := s2.MaxEncodedLen(len(data))
	if room < 0 {
		return append(dst, data...), codecPlain
	}
	if cap(dst)-at < room {
		dst = append(make([]byte, 0, at+room), dst...)
	}
	packed := s2.Encode(dst[at:at+room], data)
	if len(packed) >= len(data) {
		return append(dst, data...), codecPlain
	}
	return dst[:at+len(packed)], codecS2
}

// parseEntry checks an entry and takes it apart; body lies in b, still packed.
func parseEntry(b []byte) (h header, codec byte, body []byte, err error) {
	if len(b) < headerSize {
		return h, 0, nil, fmt.Errorf("%d bytes, shorter than the header of %d", len(b), headerSize)
	}
	if b[0] != formatEntry {
		return h, 0, nil, fmt.Errorf("format %d, this version knows %d", b[0], formatEntry)
	}
	if want, have := binary.LittleEndian.Uint32(b[crcAt:]), checksum(b); want != have {
		return h, 0, nil, fmt.Errorf("checksum %08x, want %08x", have, want)
	}
	if b[1] > codecS2 {
		return h, 0, nil, fmt.Errorf("codec %d is unknown to this version", b[1])
	}
	h = header{
		Count:   binary.LittleEndian.Uint32(b[4:]),
		Epoch:   binary.LittleEndian.Uint64(b[8:]),
		Counter: binary.LittleEndian.Uint64(b[16:]),
		Total:   binary.LittleEndian.Uint64(b[24:]),
		Millis:  int64(binary.LittleEndian.Uint64(b[32:])),
	}
	return h, b[1], b[headerSize:], nil
}

// unpack returns the body as it was appended: body itself where it was stored
// plain, otherwise in *buf, which grows as needed.
func unpack(buf *[]byte, codec byte, body []byte) ([]byte, error) {
	if codec == codecPlain {
		return body, nil
	}
	n, err := s2.DecodedLen(body)
	if err != nil {
		return nil, fmt.Errorf("packed length: %w", err)
	}
	if n > maxBody {
		return nil, fmt.Errorf("unpacks to %d bytes, more than the %d allowed", n, maxBody)
	}
	if cap(*buf) < n {
		*buf = make([]byte, n)
	}
	out, err := s2.Decode((*buf)[:cap(*buf)], body)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return out, nil
}

func checksum(e []byte) uint32 {
	return crc32.Update(crc32.Checksum(e[:crcAt], castagnoli), castagnoli, e[headerSize:])
}

// checkUnits refuses what the header cannot hold.
func checkUnits(data []byte, count int) error {
	if count < 0 || count > math.MaxUint32 {
		return fmt.Errorf("count %d is outside 0 to %d", count, uint32(math.MaxUint32))
	}
	if len(data) > maxBody {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), maxBody)
	}
	return nil
}

// record makes the reader's form of an entry that parseEntry took apart.
func (h header) record(seq uint64, data []byte) Record {
	return Record{
		Seq:   seq,
		Time:  time.UnixMilli(h.Millis),
		Count: int(h.Count),
		Total: h.Total,
		Data:  data,
	}
}
