package journal

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"
	"testing/quick"
)

// The hash and the layout are the log server's own: should another version of it
// write its blocks in another way, this fails.
func TestBlocksAreUnderstood(t *testing.T) {
	stopped, _ := wholeStore(t)
	paths, err := filepath.Glob(filepath.Join(stopped, "jetstream", "$G", "streams", "*", "msgs", "*.blk"))
	if err != nil || len(paths) < 5 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		folder := filepath.Dir(path)
		blocks, err := blocksIn(folder)
		if err != nil {
			t.Fatal(err)
		}
		newest := blocks[len(blocks)-1]
		if !indexHolds(filepath.Join(folder, "index.db"), newest.path) {
			t.Errorf("the index in %s does not hold after a stop", folder)
		}
		b, err := newBlock(filepath.Base(filepath.Dir(folder)), newest.index, readFile(t, newest.path))
		if err != nil {
			t.Fatal(err)
		}
		if found, records := b.damages(); len(found) > 0 || records == 0 && len(b.data) > 0 {
			t.Errorf("%s: %d records are whole, not so %v", path, records, found)
		}
		for at := 0; at < len(b.data); at += recordLength(b.data[at:]) {
			if numberOf(b.data[at:]) > 0 && binary.LittleEndian.Uint32(b.data[at:])&withHeaders == 0 {
				t.Errorf("%s: the record at %d has no headers, so nothing tells where its subject ends", path, at)
			}
		}
	}
}

// A block with n records as the log server writes them.
func someBlock(t testing.TB, n int) *block {
	b, err := newBlock("input-1", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := make([]byte, recordHead, 200)
		binary.LittleEndian.PutUint64(r[4:], uint64(i+1))
		binary.LittleEndian.PutUint16(r[20:], 7)
		const headers = "NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"
		r = append(binary.LittleEndian.AppendUint32(append(r, "input-1"...), uint32(len(headers))), headers...)
		r = append(append(r, body(i, 30*i)...), make([]byte, recordHash)...)
		binary.LittleEndian.PutUint32(r, uint32(len(r))|withHeaders)
		copy(r[len(r)-recordHash:], b.hashOf(r))
		b.data = append(b.data, r...)
	}
	return b
}

// Every single bit of a block can be put right.
func TestPutRight(t *testing.T) {
	b := someBlock(t, 5)
	sound := bytes.Clone(b.data)
	for bit := range 8 * len(sound) {
		b.data[bit/8] ^= 1 << (bit % 8)
		found, _ := b.damages()
		patience := mendPatience
		if len(found) > 0 && !b.putRight(found[0], &patience) || !bytes.Equal(b.data, sound) {
			t.Errorf("bit %d is not put right: %v", bit, found)
			copy(b.data, sound)
		}
	}
}

// Whatever is in a block: once everything damaged is struck out, nothing is damaged
// and every whole record is still there.
func FuzzBlock(f *testing.F) {
	b := someBlock(f, 4)
	f.Add(b.data)
	f.Add(b.data[:len(b.data)-3])
	f.Add(append(make([]byte, 60), b.data...))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkStruckOut(t, data)
	})
}

func TestStrikeOut(t *testing.T) {
	sound := someBlock(t, 8).data
	err := quick.Check(func(at, n uint16, with byte) bool {
		data := bytes.Clone(sound)
		from := int(at) % len(data)
		for i := range data[from:min(len(data), from+int(n)%300)] {
			data[from+i] = with
		}
		checkStruckOut(t, data)
		return !t.Failed()
	}, &quick.Config{MaxCount: 2000})
	if err != nil {
		t.Error(err)
	}
}

func checkStruckOut(t *testing.T, data []byte) {
	t.Helper()
	b, err := newBlock("input-1", 1, data)
	if err != nil {
		t.Fatal(err)
	}
	found, records := b.damages()
	struck := 0
	for _, d := range found {
		if d.to-d.from >= recordLeast {
			b.strikeOut(d)
			struck++
		} else if d.to != len(data) {
			t.Fatalf("%v is too short to have been an entry", d)
		}
	}
	left, now := b.damages()
	if len(left) > len(found)-struck || now != records+struck {
		t.Fatalf("of %d records %d are whole, after %d were struck out; damaged were %v, and now %v", records, now, struck, found, left)
	}
	var last uint64
	for at := 0; at+recordLeast <= len(data) && len(left) == 0; at += recordLength(data[at:]) {
		if n := numberOf(data[at:]); n > 0 && n <= last && binary.LittleEndian.Uint64(data[at+4:])&erased != 0 {
			t.Fatalf("the erased record at %d takes the number %d behind %d", at, n, last)
		} else {
			last = max(last, n)
		}
	}
}
