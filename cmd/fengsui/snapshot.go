package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// snapshot is what the judge knew at a position of the input log. It saves the
// replay of everything before; without it everything can be rebuilt from the log.
type snapshot struct {
	Position uint64
	Total    uint64
	Missing  uint64
	Alarms   uint64 // the end of the alarm log then
	Clock    uint64 // Unix ms
	Registry uint64 // version in force there
	Engine   []byte
	Intake   []byte
	Presence []byte
	Counts   []byte
	Replays  []byte
}

func (s *snapshot) numbers() []*uint64 {
	return []*uint64{&s.Position, &s.Total, &s.Missing, &s.Alarms, &s.Clock, &s.Registry}
}

func (s *snapshot) parts() []*[]byte {
	return []*[]byte{&s.Engine, &s.Intake, &s.Presence, &s.Counts, &s.Replays}
}

// snapshotVersion begins the file.
const snapshotVersion = "fengsui snapshot 2\n"

// snapshotFile is where the snapshot lies. It is replaced atomically: a crash
// leaves the old one or the new one.
type snapshotFile string

var errSnapshotDamaged = errors.New("the snapshot is damaged or of another version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode gives what to write, piece by piece: of ten thousand devices there are
// ten megabytes, which are not copied. The last piece is the checksum of all.
func (s *snapshot) encode() [][]byte {
	head := []byte(snapshotVersion)
	for _, n := range s.numbers() {
		head = binary.LittleEndian.AppendUint64(head, *n)
	}
	var pieces [][]byte
	for _, part := range s.parts() {
		head = binary.LittleEndian.AppendUint64(head, uint64(len(*part)))
		pieces = append(pieces, *part)
	}
	pieces = slices.Insert(pieces, 0, head)
	sum := uint32(0)
	for _, piece := range pieces {
		sum = crc32.Update(sum, castagnoli, piece)
	}
	return append(pieces, binary.LittleEndian.AppendUint32(nil, sum))
}

// decode takes apart what encode gave.
func (s *snapshot) decode(data []byte) error {
	rest, ok := bytes.CutPrefix(data, []byte(snapshotVersion))
	numbers, parts := s.numbers(), s.parts()
	if !ok || len(rest) < 8*(len(numbers)+len(parts))+4 {
		return errSnapshotDamaged
	}
	body := len(data) - 4
	if crc32.Checksum(data[:body], castagnoli) != binary.LittleEndian.Uint32(data[body:]) {
		return errSnapshotDamaged
	}
	next := func() uint64 {
		n := binary.LittleEndian.Uint64(rest)
		rest = rest[8:]
		return n
	}
	for _, n := range numbers {
		*n = next()
	}
	lengths := make([]uint64, len(parts))
	for i := range parts {
		lengths[i] = next()
	}
	rest = rest[:len(rest)-4]
	for i, part := range parts {
		if lengths[i] > uint64(len(rest)) {
			return errSnapshotDamaged
		}
		*part, rest = rest[:lengths[i]], rest[lengths[i]:]
	}
	if len(rest) > 0 {
		return errSnapshotDamaged
	}
	return nil
}

// load returns nil where there is no snapshot yet.
func (f snapshotFile) load() (*snapshot, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	s := &snapshot{}
	if err := s.decode(data); err != nil {
		return nil, err
	}
	return s, nil
}

// replace writes the pieces beside the snapshot, syncs them, and renames them over.
func (f snapshotFile) replace(pieces [][]byte) error {
	name := string(f)
	if err := writeSynced(name+".new", pieces...); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	return syncFolder(filepath.Dir(name))
}

func writeSynced(name string, pieces ...[]byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for _, piece := range pieces {
		if _, err = f.Write(piece); err != nil {
			break
		}
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
