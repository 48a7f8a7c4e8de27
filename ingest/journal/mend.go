package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mender looks through the block files before the log server does, which does not
// take damage well: behind a damaged entry it drops what is left of the block, it
// fills the hole before a damaged number one by one until the machine has no
// memory left, and of a bucket's damaged value it makes a loop or a write error
// without end. A bit that has flipped is put right; what cannot be is struck out,
// so that the entries behind it stay. The file as it was is kept.
type mender struct {
	dir      string // the data folder
	log      *slog.Logger
	damaged  func(what string)
	patience int // see putRight

	later map[string]*unread // by stream
}

// unread are the blocks of a stream that nobody has looked through yet.
type unread struct {
	once   sync.Once
	blocks []blockFile
	err    error
}

type blockFile struct {
	path  string
	index int
}

const (
	mendPatience = 16 << 30  // a few seconds' worth of hashing
	tailPatience = 256 << 20 // some 50 ms: every power cut leaves a torn entry
)

// mendAll looks through what the server is about to read: all of a bucket and of
// a stream that was written since its index, else the newest block. The others
// are looked through before they are first read, since that takes time.
func mendAll(dir string, log *slog.Logger, damaged func(string)) (*mender, error) {
	m := &mender{dir: dir, log: log, damaged: damaged, patience: mendPatience, later: map[string]*unread{}}
	streams, err := os.ReadDir(m.streams())
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	for _, s := range streams {
		if err == nil && s.IsDir() {
			err = m.mendStream(s.Name())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look through the logs: %w", err)
	}
	return m, nil
}

func (m *mender) streams() string { return filepath.Join(m.dir, "jetstream", "$G", "streams") }

func (m *mender) mendStream(stream string) error {
	folder := filepath.Join(m.streams(), stream, "msgs")
	blocks, err := blocksIn(folder)
	if err != nil || len(blocks) == 0 {
		return err
	}
	newest := len(blocks) - 1
	index := filepath.Join(folder, "index.db")
	closed := indexHolds(index, blocks[newest].path)
	if closed && !strings.HasPrefix(stream, "KV_") {
		mended, err := m.mendBlocks(stream, blocks[newest:], true)
		if err != nil || !mended {
			m.later[stream] = &unread{blocks: blocks[:newest]}
			return err
		}
	}
	mended, err := m.mendBlocks(stream, blocks, closed)
	if err != nil {
		return err
	}
	if mended {
		err = os.Remove(index) // it counts what is struck out
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// beforeRead looks through what was left for later. Where an older block is not as
// it should be it is mended under the server, which then finds that its index does
// not fit and reads the block anew.
func (m *mender) beforeRead(stream string) error {
	u, ok := m.later[stream]
	if !ok {
		return nil
	}
	u.once.Do(func() { u.err = m.mendUnread(stream, u.blocks) })
	return u.err
}

func (m *mender) mendUnread(stream string, blocks []blockFile) error {
	var last uint64
	for _, f := range blocks {
		ok, err := f.runsOn(&last)
		if err == nil && !ok {
			_, err = m.mendBlocks(stream, []blockFile{f}, true)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be trimmed meanwhile
			return fmt.Errorf("look through %s: %w", f.path, err)
		}
	}
	return nil
}

// runsOn looks at the lengths and numbers of a block's records alone: whether they
// lead from one to the next, behind last, up to its end.
func (f blockFile) runsOn(last *uint64) (bool, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	reader := bufio.NewReader(file)
	for at := int64(0); at < info.Size(); {
		head, err := reader.Peek(recordHead)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		length, number := int64(recordLength(head)), numberOf(head)
		if length < recordLeast || at+length > info.Size() || *last > 0 && number != *last+1 {
			*last = 0
			return false, nil
		}
		*last = number
		at += length
		if length <= int64(reader.Buffered()) {
			_, err = reader.Discard(int(length))
		} else if _, err = file.Seek(at, io.SeekStart); err == nil {
			reader.Reset(file)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// mendBlocks mends what is damaged in the blocks of a stream.
func (m *mender) mendBlocks(stream string, blocks []blockFile, closed bool) (mended bool, err error) {
	for i, f := range blocks {
		data, err := os.ReadFile(f.path)
		if err != nil {
			return mended, err
		}
		b, err := newBlock(stream, f.index, data)
		if err != nil {
			return mended, err
		}
		found, records := b.damages()
		if !closed && i == len(blocks)-1 {
			found = withoutTorn(b, found)
		}
		if len(found) == 0 {
			continue
		}
		if records == 0 && recordLength(data) != len(data) {
			m.log.Error("a block of the logs cannot be read at all; leaving it to the log server", "file", f.path)
			continue
		}
		if err := m.mend(stream, f, b, found); err != nil {
			return mended, err
		}
		mended = true
	}
	return mended, nil
}

// withoutTorn leaves out what is no whole record at the very end: it was being
// written at a crash and was never acknowledged, and the server cuts it off. Of
// one that was whole and has one bit wrong since, nothing is torn.
func withoutTorn(b *block, found []damage) []damage {
	n := len(found) - 1
	if n < 0 || found[n].to < len(b.data) {
		return found
	}
	patience := tailPatience
	try := block{data: bytes.Clone(b.data), hash: b.hash}
	if try.putRight(found[n], &patience) {
		return found
	}
	return found[:n]
}

func (m *mender) mend(stream string, f blockFile, b *block, found []damage) error {
	kept, err := m.keep(stream, f, b.data)
	if err != nil {
		return fmt.Errorf("keep a copy of %s, which is damaged: %w", f.path, err)
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, d := range found {
		if d.to-d.from < recordLeast { // at the end; the server cuts it off
			continue
		}
		what := "is put right"
		if !b.putRight(d, &m.patience) {
			b.strikeOut(d)
			what = "is lost"
		}
		_, wrong := file.WriteAt(b.data[d.from:d.to], int64(d.from))
		err = errors.Join(err, wrong)
		m.damaged(fmt.Sprintf("%s: %s, damaged in %s/msgs/%d.blk from byte %d to %d, %s; the file as it was lies in %s",
			ownName(stream), d.entries(), stream, f.index, d.from, d.to, what, kept))
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("mend %s: %w", f.path, err)
	}
	return nil
}

// entries names what lay in the damaged bytes.
func (d damage) entries() string {
	switch {
	case d.next > d.before+2:
		return fmt.Sprintf("entries %d to %d", d.before+1, d.next-1)
	case d.next > 0 && d.next <= d.before+1:
		return "no entry"
	}
	return fmt.Sprintf("entry %d", d.before+1)
}

// keep copies a block file as it is into the data folder.
func (m *mender) keep(stream string, f blockFile, data []byte) (string, error) {
	folder := filepath.Join(m.dir, "damaged")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", err
	}
	name := filepath.Join(folder, fmt.Sprintf("%s-%d.%s.blk", stream, f.index, time.Now().UTC().Format("20060102T150405.000")))
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return "", err
	}
	_, err = file.Write(data)
	return name, errors.Join(err, file.Sync(), file.Close())
}

// ownName is the name of the log or bucket that a stream belongs to.
func ownName(stream string) string {
	if bucket, ok := strings.CutPrefix(stream, "KV_"); ok {
		return "bucket " + bucket
	}
	log, _, _ := strings.Cut(stream, "-")
	return "log " + log
}

// blocksIn lists the block files of a folder, oldest first.
func blocksIn(folder string) ([]blockFile, error) {
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var blocks []blockFile
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".blk"); ok {
			if index, err := strconv.Atoi(name); err == nil {
				blocks = append(blocks, blockFile{path: filepath.Join(folder, f.Name()), index: index})
			}
		}
	}
	slices.SortFunc(blocks, func(a, b blockFile) int { return a.index - b.index })
	return blocks, err
}

// indexHolds reports whether the server wrote its index when the newest block
// ended as it does now, as it does when it is stopped: the index ends with the
// last hash of that block and a hash of its own.
func indexHolds(index, newest string) bool {
	said, err := os.ReadFile(index)
	if err != nil || len(said) < 2*recordHash {
		return false
	}
	end, err := lastBytes(newest, recordHash)
	return err == nil && bytes.Equal(end, said[len(said)-2*recordHash:len(said)-recordHash])
}

func lastBytes(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(-n, io.SeekEnd); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}
