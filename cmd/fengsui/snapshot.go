package main

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// snapshot is what the judge knew at a position of the input log. It saves the
// replay of everything before; without it everything can be rebuilt from the log.
type snapshot struct {
	Position uint64
	Total    uint64
	Missing  uint64
	Alarms   uint64 // the end of the alarm log then
	Clock    int64
	Registry uint64 // version in force there
	Engine   []byte
	Intake   []byte
	Presence []byte
	Counts   []byte
	Replays  []byte
}

// snapshotFile is where the snapshot lies. It is replaced atomically: a crash
// leaves the old one or the new one.
type snapshotFile string

var errSnapshotDamaged = errors.New("the snapshot is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *snapshot) encode() ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 4))
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return nil, fmt.Errorf("encode the snapshot: %w", err)
	}
	data := b.Bytes()
	binary.LittleEndian.PutUint32(data, crc32.Checksum(data[4:], castagnoli))
	return data, nil
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
	if len(data) < 4 || crc32.Checksum(data[4:], castagnoli) != binary.LittleEndian.Uint32(data) {
		return nil, errSnapshotDamaged
	}
	s := &snapshot{}
	if err := gob.NewDecoder(bytes.NewReader(data[4:])).Decode(s); err != nil {
		return nil, errors.Join(errSnapshotDamaged, err)
	}
	return s, nil
}

// replace writes data beside the snapshot, syncs it, and renames it over.
func (f snapshotFile) replace(data []byte) error {
	name := string(f)
	if err := writeSynced(name+".new", data); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	return syncFolder(filepath.Dir(name))
}

func writeSynced(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
