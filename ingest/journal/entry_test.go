package journal

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func headers() *rapid.Generator[header] {
	return rapid.Custom(func(t *rapid.T) header {
		return header{
			Epoch:   rapid.Uint64().Draw(t, "epoch"),
			Counter: rapid.Uint64().Draw(t, "counter"),
			Count:   rapid.Uint32().Draw(t, "count"),
			Total:   rapid.Uint64().Draw(t, "total"),
			Millis:  rapid.Int64().Draw(t, "millis"),
		}
	})
}

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := headers().Draw(t, "header")
		data := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"), rapid.IntRange(1, 20).Draw(t, "times"))
		before := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "before")
		e := appendEntry(bytes.Clone(before), h, data, rapid.Bool().Draw(t, "pack"))
		if !bytes.HasPrefix(e, before) {
			t.Fatal("what stood before the entry has changed")
		}
		e = e[len(before):]
		if len(e) > headerSize+len(data) {
			t.Fatalf("%d bytes take %d", len(data), len(e))
		}
		got, codec, packed, err := parseEntry(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := unpack(new([]byte), codec, packed)
		if err != nil {
			t.Fatal(err)
		}
		if got != h || !bytes.Equal(back, data) {
			t.Fatalf("wrote %v, read %v", h, got)
		}
	})
}

func TestEntryDamageIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := appendEntry(nil, headers().Draw(t, "header"), rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data"), true)
		at := rapid.IntRange(0, len(e)*8-1).Draw(t, "bit")
		e[at/8] ^= 1 << (at % 8)
		if _, _, _, err := parseEntry(e); err == nil {
			t.Fatalf("bit %d was flipped and nobody noticed", at)
		}
	})
}

func TestEntryRefusals(t *testing.T) {
	good := appendEntry(nil, header{}, []byte("body"), false)
	with := func(change func(e []byte)) []byte {
		e := bytes.Clone(good)
		change(e)
		binary.LittleEndian.PutUint32(e[crcAt:], checksum(e))
		return e
	}
	tests := []struct {
		name  string
		entry []byte
		want  string
	}{
		{"empty", nil, "0 bytes, shorter than the header of 44"},
		{"unwritten", make([]byte, 100), "format 0, this version knows 1"},
		{"cut", good[:len(good)-1], "checksum "},
		{"of a later version", with(func(e []byte) { e[0] = 2 }), "format 2, this version knows 1"},
		{"of a later codec", with(func(e []byte) { e[1] = 9 }), "codec 9 is unknown to this version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := parseEntry(tt.entry)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s…", err, tt.want)
			}
		})
	}
}

func TestUnpackBoundsMemory(t *testing.T) {
	forged := binary.AppendUvarint(nil, maxBody+1)
	_, err := unpack(new([]byte), codecS2, append(forged, 0, 0, 0))
	if err == nil || !strings.Contains(err.Error(), "more than the") {
		t.Errorf("got %v", err)
	}
}

// FuzzEntry feeds the decoder what a damaged disk might: it must refuse or
// return something, never panic or take memory without bound. Each input is
// tried as it is and with a checksum that fits, so that the body is reached.
func FuzzEntry(f *testing.F) {
	h := header{Epoch: 1, Counter: 2, Count: 3, Total: 4, Millis: 5}
	f.Add([]byte{})
	f.Add(make([]byte, headerSize))
	f.Add(appendEntry(nil, h, nil, true))
	f.Add(appendEntry(nil, h, []byte("short"), false))
	f.Add(appendEntry(nil, h, bytes.Repeat([]byte("long "), 100), true))
	f.Add(appendEntry(nil, h, bytes.Repeat([]byte("cut "), 100), true)[:headerSize+5])
	f.Fuzz(func(t *testing.T, e []byte) {
		tryEntry(t, e)
		if len(e) >= headerSize {
			e = bytes.Clone(e)
			e[0] = formatEntry
			binary.LittleEndian.PutUint32(e[crcAt:], checksum(e))
			tryEntry(t, e)
		}
	})
}

func tryEntry(t *testing.T, e []byte) {
	h, codec, packed, err := parseEntry(e)
	if err != nil {
		return
	}
	data, err := unpack(new([]byte), codec, packed)
	if err != nil {
		return
	}
	if len(data) > maxBody {
		t.Fatalf("unpacked to %d bytes", len(data))
	}
	again, _, _, err := parseEntry(appendEntry(nil, h, data, true))
	if err != nil || again != h {
		t.Fatalf("read %v, wrote it again as %v, %v", h, again, err)
	}
}
