package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// What stands before each entry in a block of the log server: length, number and
// time of the entry, length of its subject. The top bits of length and number are
// marks of its own.
const (
	blockHeader = 4 + 8 + 8 + 2
	lengthMarks = 1 << 31
	numberMarks = 3 << 62
	tombstone   = 1 << 62
)

// maxHole is how far the numbers of two entries that follow each other in a block
// may lie apart: what was overwritten between them leaves a hole. Saved twice a
// second, a cursor makes one of this size in four years.
const maxHole = 1 << 28

// checkBlocks refuses a store that the log server does not survive: where a bit
// has flipped in the number of an entry, it fills the hole before that number,
// one by one, until the machine has no memory left.
func checkBlocks(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // a new store, or a file the server has just dropped
		case err != nil || d.IsDir() || filepath.Ext(path) != ".blk":
			return err
		}
		return checkBlock(path)
	})
}

// checkBlock follows the entries of a block as far as their lengths make sense;
// what else is wrong with it the server finds by itself.
func checkBlock(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("look through the logs: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look through the logs: %w", err)
	}
	var header [blockHeader]byte
	var last uint64
	for at := int64(0); at+blockHeader <= info.Size(); {
		if _, err := f.ReadAt(header[:], at); err != nil {
			return fmt.Errorf("look through the logs: %w", err)
		}
		length := int64(binary.LittleEndian.Uint32(header[:]) &^ lengthMarks)
		if length < blockHeader || at+length > info.Size() {
			return nil
		}
		number := binary.LittleEndian.Uint64(header[4:])
		if marks := number & numberMarks; marks&tombstone == 0 {
			number &^= numberMarks
			if last != 0 && number > last+maxHole {
				return fmt.Errorf("%w: %s at byte %d: entry %d follows entry %d, which cannot be; restore this file from a copy of the folder", ErrCorrupt, path, at, number, last)
			}
			last = max(last, number)
		}
		at += length
	}
	return nil
}
