package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// image is what a disk holds for good.
type image struct {
	t    *testing.T
	path string
}

const imageSize = 2 << 30 // most of it a hole

func newImage(t *testing.T) *image {
	t.Helper()
	i := &image{t: t, path: filepath.Join(t.TempDir(), "image")}
	if err := os.WriteFile(i.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(i.path, imageSize); err != nil {
		t.Fatal(err)
	}
	i.run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", i.path)
	return i
}

func (i *image) run(name string, args ...string) string {
	i.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		i.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// disk is a running disk: a cache that forgets before the image, a loop device,
// and a file system.
type disk struct {
	*cache
	image *image
	loop  string // the device
	at    string // where its file system is mounted
	file  *fuse.Server
	gone  bool
}

// mount starts a disk with what the image holds.
func (i *image) mount(at string) *disk {
	i.t.Helper()
	f, err := os.OpenFile(i.path, os.O_RDWR, 0)
	if err != nil {
		i.t.Fatal(err)
	}
	d := &disk{image: i, at: at, cache: &cache{image: f, pages: map[int64][]byte{}, failed: make(chan struct{})}}
	folder := i.t.TempDir()
	d.file, err = fs.Mount(folder, &diskFolder{cache: d.cache}, &fs.Options{
		MountOptions: fuse.MountOptions{MaxWrite: 1 << 20, DirectMount: true, Name: "powercut"},
	})
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { d.cut(0) })
	d.loop = i.run("losetup", "-f", "--show", filepath.Join(folder, "disk"))
	if err := os.MkdirAll(at, 0o755); err != nil {
		i.t.Fatal(err)
	}
	if err := syscall.Mount(d.loop, at, "ext4", 0, ""); err != nil {
		i.t.Fatalf("mount %s: %v", d.loop, err)
	}
	return d
}

// cut takes the disk away. Of what was not flushed it keeps so many of a hundred
// pages, and returns how many it forgets.
func (d *disk) cut(keep int) (forgotten int) {
	if d.gone {
		return 0
	}
	d.gone = true
	d.freeze()
	d.fail()
	if err := syscall.Unmount(d.at, 0); err != nil {
		d.image.t.Errorf("unmount %s: %v", d.at, err)
	}
	if d.loop != "" {
		d.image.run("losetup", "-d", d.loop)
	}
	if err := d.file.Unmount(); err != nil {
		d.image.t.Errorf("unmount the file behind the disk: %v", err)
	}
	d.file.Wait()
	for at, page := range d.pages {
		if rand.IntN(100) >= keep {
			forgotten++
		} else if _, err := d.cache.image.WriteAt(page, at); err != nil {
			d.image.t.Fatal(err)
		}
	}
	if err := d.cache.image.Close(); err != nil {
		d.image.t.Error(err)
	}
	return forgotten
}

// cache is the file behind the loop device: what is written stays in memory until
// it is flushed.
type cache struct {
	fs.Inode
	image *os.File

	mu     sync.Mutex
	pages  map[int64][]byte // by offset
	frozen bool
	failed chan struct{} // closed when what came after the freeze is answered
	once   sync.Once
}

const pageSize = 4096

// freeze is the moment of the cut: nothing that comes later is taken or answered.
func (c *cache) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
}

// fail answers what came after the freeze.
func (c *cache) fail() { c.once.Do(func() { close(c.failed) }) }

// running holds the lock when it returns true. After the freeze it returns false,
// once nobody is left to be told anything.
func (c *cache) running() bool {
	c.mu.Lock()
	if !c.frozen {
		return true
	}
	c.mu.Unlock()
	<-c.failed
	return false
}

func (c *cache) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.image.ReadAt(dest, off); err != nil {
		return nil, syscall.EIO
	}
	for at := off &^ (pageSize - 1); at < off+int64(len(dest)); at += pageSize {
		if page, ok := c.pages[at]; ok {
			copy(dest[max(at-off, 0):], page[max(off-at, 0):])
		}
	}
	return fuse.ReadResultData(dest), 0
}

func (c *cache) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if !c.running() {
		return 0, syscall.EIO
	}
	defer c.mu.Unlock()
	size := uint32(len(data))
	for len(data) > 0 {
		at := off &^ (pageSize - 1)
		page, ok := c.pages[at]
		if !ok {
			page = make([]byte, pageSize)
			if _, err := c.image.ReadAt(page, at); err != nil {
				return 0, syscall.EIO
			}
			c.pages[at] = page
		}
		n := copy(page[off-at:], data)
		data, off = data[n:], off+int64(n)
	}
	return size, 0
}

func (c *cache) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if !c.running() {
		return syscall.EIO
	}
	defer c.mu.Unlock()
	for at, page := range c.pages {
		if _, err := c.image.WriteAt(page, at); err != nil {
			return syscall.EIO
		}
	}
	clear(c.pages)
	return 0
}

func (c *cache) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (c *cache) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (c *cache) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o600, imageSize
	return 0
}

func (c *cache) Setattr(_ context.Context, _ fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o600, imageSize
	return 0
}

// diskFolder holds the one file.
type diskFolder struct {
	fs.Inode
	cache *cache
}

func (d *diskFolder) OnAdd(ctx context.Context) {
	d.AddChild("disk", d.NewPersistentInode(ctx, d.cache, fs.StableAttr{Mode: syscall.S_IFREG}), false)
}
