package devices

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

const snapshotVersion = 2

// Snapshot is what the intake remembers: each device's clock and last samples,
// each client's last deliveries. Its size is bounded by the number of devices
// and by mostClients. The same state gives the same bytes.
func (i *Intake) Snapshot() ([]byte, error) {
	b := append(make([]byte, 0, i.written+i.written/8), snapshotVersion)
	registry := i.registry.Load()
	known := 0
	for n := range i.devices {
		if i.devices[n].known() {
			known++
		}
	}
	b = binary.AppendUvarint(b, uint64(known))
	for _, d := range registry.devices {
		if m := &i.devices[d.index]; m.known() {
			b = appendText(b, d.Key())
			b = m.append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(i.clients)))
	for _, print := range slices.Sorted(maps.Keys(i.clients)) {
		b = binary.LittleEndian.AppendUint64(b, print)
		b = i.clients[print].append(b)
	}
	i.written = len(b)
	return b, nil
}

// Restore takes up what Snapshot wrote. Devices that are no longer registered
// are left out. After an error the intake is as it was.
func (i *Intake) Restore(data []byte) error {
	r := reader{data: data}
	if v := r.byte(); v != snapshotVersion {
		return fmt.Errorf("restore the intake: version %d, want %d", v, snapshotVersion)
	}
	registry := i.registry.Load()
	memories := make([]deviceMemory, registry.Len())
	for n := r.count(4); n > 0 && r.err == nil; n-- {
		key := r.text()
		m := readDevice(&r)
		if d, ok := registry.DeviceByKey(string(key)); ok {
			memories[d.index] = m
		}
	}
	all := clients{}
	for n := r.count(8); n > 0 && r.err == nil; n-- {
		print := r.uint64()
		all[print] = readClient(&r)
	}
	if r.err != nil {
		return fmt.Errorf("restore the intake: %w", r.err)
	}
	i.devices, i.clients = memories, all
	return nil
}

func (m *deviceMemory) known() bool { return m.clock.newest != 0 }

func (m *deviceMemory) append(b []byte) []byte {
	b = binary.AppendVarint(b, m.clock.newest)
	b = binary.AppendVarint(b, m.clock.oldOwn)
	b = binary.AppendVarint(b, m.clock.oldReceived)
	if m.clock.wrong {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.AppendVarint(b, m.complaint.skew)
	b = binary.AppendVarint(b, m.complaint.steady)
	b = binary.AppendVarint(b, m.complaint.told)
	return m.appendCounters(m.seen.append(b))
}

func readDevice(r *reader) (m deviceMemory) {
	m.clock = deviceClock{newest: r.varint(), oldOwn: r.varint(), oldReceived: r.varint(), wrong: r.byte() == 1}
	m.complaint = clockComplaint{skew: r.varint(), steady: r.varint(), told: r.varint()}
	m.seen = readRing(r, seenMost)
	m.counters = readCounters(r)
	return m
}

func (c *clientMemory) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.most))
	b = binary.AppendVarint(b, c.lapStart)
	b = binary.AppendVarint(b, c.heard)
	return c.seen.append(b)
}

func readClient(r *reader) *clientMemory {
	c := &clientMemory{most: int(min(r.uvarint(), mostDeliveries)), lapStart: r.varint(), heard: r.varint()}
	c.seen = readRing(r, c.most)
	return c
}

// append writes a ring, the oldest fingerprint first.
func (g *ring) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(g.prints)))
	for i := range g.prints {
		b = binary.LittleEndian.AppendUint64(b, g.prints[(g.next+i)%len(g.prints)])
	}
	return b
}

func readRing(r *reader, most int) (g ring) {
	n := r.count(8)
	if n > most {
		r.fail(fmt.Errorf("a memory of %d, at most %d are kept", n, most))
		return g
	}
	for range n {
		g.prints = append(g.prints, r.uint64())
	}
	return g
}
