package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options says where the logs lie and whom to tell.
type Options struct {
	// Dir is the data folder; it is made if need be, and belongs to this
	// process alone while the store is open.
	Dir string
	// MaxStore bounds all logs and buckets together, in bytes; what would exceed
	// it is answered by [ErrFull], cursors included. It is the last line, below
	// what the disk has, since a full disk needs [Store.Reopen]; the MaxBytes of
	// the logs must add up to less. 0 means no limit.
	MaxStore int64
	// Logger hears of recovery, loss and the server's warnings; nil discards.
	Logger *slog.Logger
	// OnSync is told how long each append took to be on disk. It is called while
	// others wait for their turn and must be quick.
	OnSync func(d time.Duration)
}

func (o Options) validate() error {
	if o.Dir == "" {
		return errors.New("data folder is not set")
	}
	if o.MaxStore < 0 {
		return fmt.Errorf("size limit %d is negative", o.MaxStore)
	}
	return nil
}

// Store is a data folder with its logs and buckets, open in this process.
type Store struct {
	opts   Options
	log    *slog.Logger
	lock   *os.File
	closed chan struct{}

	retries  atomic.Uint64
	lastSync atomic.Int64

	// Locked in this order, after the turns of logs:
	opening sync.Mutex   // one at a time opens a log, or closes or reopens the store
	gate    sync.RWMutex // held by whoever restarts the server; others wait for it
	mu      sync.Mutex   // guards what follows

	logs    []recoverable
	running *engine // nil while there is none
	past    uint64  // warnings of earlier runs
	damage  []string
}

// recoverable is a log, as the store needs it.
type recoverable interface {
	take(ctx context.Context) error
	give()
	recover(ctx context.Context, e *engine) error
	saveLandmark(ctx context.Context, e *engine, segments []segment) error
	snapshot() []segment
	base() *feed
}

// Open takes the data folder for this process, mends what is damaged in it, as
// [Stats] then tells, and starts the log server over it.
// It returns [ErrLocked] at once if another process has it. After an unclean
// stop it reads the newest segment of each log, which takes as long as it takes,
// about 3 s a GB; the logger hears of it every 10 s.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("open logs: %w", err)
	}
	s := &Store{opts: o, log: o.Logger, closed: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.lock, err = lockFolder(o.Dir); err != nil {
		return nil, fmt.Errorf("open logs: %w", err)
	}
	began := time.Now()
	if err := s.startEngine(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open logs in %s: %w", o.Dir, err), s.lock.Close())
	}
	s.log.Info("log server is ready", "dir", o.Dir, "took", time.Since(began).Round(time.Millisecond))
	return s, nil
}

// Close ends all reads, lets appends under way finish, writes the indexes that
// make the next start quick and frees the folder.
func (s *Store) Close() error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.isClosed() {
		return nil
	}
	close(s.closed)
	ctx, cancel := context.WithTimeout(context.Background(), publishTries*publishTimeout)
	defer cancel()
	err := s.holdAll(ctx, func() error { return s.leaveLandmarks(ctx) })
	s.stopEngine()
	return errors.Join(err, s.lock.Close())
}

// leaveLandmarks remembers where each log ends, so that a start can tell if it
// ends before that. A bad disk or a full store takes no landmark, and needs none.
func (s *Store) leaveLandmarks(ctx context.Context) error {
	e, logs := s.now()
	if e == nil || e.said.bad.Err() != nil {
		return nil
	}
	var errs []error
	for _, l := range logs {
		if err := l.saveLandmark(ctx, e, l.snapshot()); !errors.Is(err, ErrFull) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Reopen starts the log server anew over the same folder and takes up all logs
// at their ends on disk. It is the way back after [ErrDisk], once the disk has
// room again: the server keeps to a write error until it is restarted. Appends
// and reads wait meanwhile and then go on; on an error they fail with [ErrDisk],
// and Reopen may be tried again.
func (s *Store) Reopen(ctx context.Context) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.isClosed() {
		return ErrClosed
	}
	err := s.holdAll(ctx, func() error {
		s.gate.Lock()
		defer s.gate.Unlock()
		s.stopEngine()
		return s.startEngine(ctx)
	})
	if err != nil {
		return fmt.Errorf("reopen logs in %s: %w", s.opts.Dir, err)
	}
	return nil
}

// holdAll calls fn while it holds the turn of every log.
func (s *Store) holdAll(ctx context.Context, fn func() error) error {
	_, logs := s.now()
	for _, l := range logs {
		if err := l.take(ctx); err != nil {
			return err
		}
		defer l.give()
	}
	return fn()
}

// startEngine mends what is damaged, starts the server and takes up the logs that
// are open.
func (s *Store) startEngine(ctx context.Context) error {
	mender, err := mendAll(s.opts.Dir, s.log, s.Damaged)
	if err != nil {
		return err
	}
	e, err := startEngine(ctx, s.opts, s.log, &s.retries, s.Damaged)
	if err != nil {
		return err
	}
	e.mender = mender
	if err := s.takeUp(ctx, e); err != nil {
		e.stop()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = e
	return nil
}

func (s *Store) takeUp(ctx context.Context, e *engine) error {
	if _, err := e.bucket(ctx, cursorBucket); err != nil {
		return err
	}
	_, logs := s.now()
	for _, l := range logs {
		if err := l.recover(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) stopEngine() {
	s.mu.Lock()
	e := s.running
	s.running = nil
	s.mu.Unlock()
	if e == nil {
		return
	}
	e.stop()
	warnings, _ := e.said.counted()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past += warnings
}

// now returns the run of the server, nil while there is none, and the open logs.
func (s *Store) now() (*engine, []recoverable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running, slices.Clone(s.logs)
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// engine returns the run of the server, waiting while it is being restarted.
func (s *Store) engine() (*engine, error) {
	if s.isClosed() {
		return nil, ErrClosed
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if e, _ := s.now(); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w: the log server could not be restarted", ErrDisk)
}

// Log opens a log, or makes it. There can be one *Log of a name in a store.
func (s *Store) Log(ctx context.Context, o LogOptions) (*Log, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes < 0 || o.MaxBytes < 0 {
		return nil, fmt.Errorf("open log %s: a negative size", o.Name)
	}
	l := &Log{segmentBytes: o.SegmentBytes, maxBytes: o.MaxBytes}
	l.init(s, o.Name, noKey)
	if err := s.openLog(ctx, l); err != nil {
		return nil, err
	}
	return l, nil
}

// KeyedLog opens a keyed log, or makes it. There can be one *KeyedLog of a name
// in a store.
func (s *Store) KeyedLog(ctx context.Context, name string) (*KeyedLog, error) {
	l := &KeyedLog{}
	l.init(s, name, keyIn(name))
	if err := s.openLog(ctx, l); err != nil {
		return nil, err
	}
	return l, nil
}

func (s *Store) openLog(ctx context.Context, l recoverable) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	name := l.base().name
	if err := checkName("log", name); err != nil {
		return err
	}
	if s.find(name) != nil {
		return fmt.Errorf("log %s is open already", name)
	}
	e, err := s.engine()
	if err != nil {
		return err
	}
	if err := l.recover(ctx, e); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs = append(s.logs, l)
	return nil
}

// find returns the open log of that name, or nil.
func (s *Store) find(name string) *feed {
	_, logs := s.now()
	for _, l := range logs {
		if f := l.base(); f.name == name {
			return f
		}
	}
	return nil
}

// Bucket opens a bucket, or makes it.
func (s *Store) Bucket(ctx context.Context, name string) (*Bucket, error) {
	if err := checkName("bucket", name); err != nil {
		return nil, err
	}
	if slices.Contains([]string{cursorBucket, landmarkBucket}, name) {
		return nil, fmt.Errorf("bucket %s is the store's own", name)
	}
	return s.bucket(ctx, name)
}

func (s *Store) bucket(ctx context.Context, name string) (*Bucket, error) {
	e, err := s.engine()
	if err != nil {
		return nil, err
	}
	b := &Bucket{store: s, name: name}
	if _, err := b.on(ctx, e); err != nil {
		return nil, err
	}
	return b, nil
}

// Cursor opens a cursor. Its name is "log/reader", as in "readings/influx"; that
// log must be open.
func (s *Store) Cursor(ctx context.Context, name string) (*Cursor, error) {
	log, reader, ok := strings.Cut(name, "/")
	if !ok || reader == "" {
		return nil, fmt.Errorf("cursor name %q: want log/reader, as in readings/influx", name)
	}
	f := s.find(log)
	if f == nil {
		return nil, fmt.Errorf("cursor %s: log %s is not open", name, log)
	}
	b, err := s.bucket(ctx, cursorBucket)
	if err != nil {
		return nil, err
	}
	return &Cursor{bucket: b, log: f, name: name}, nil
}

// Cursors returns where the cursors of a log are, by reader: the lowest is how
// far the log may be trimmed.
func (s *Store) Cursors(ctx context.Context, log string) (map[string]uint64, error) {
	e, err := s.engine()
	if err != nil {
		return nil, err
	}
	return e.cursorsOf(ctx, log)
}

// CheckCursors compares the cursors of all open logs with their ends, and
// returns an [ErrCursorAhead] that names those that lie past them.
func (s *Store) CheckCursors(ctx context.Context) error {
	e, err := s.engine()
	if err != nil {
		return err
	}
	_, logs := s.now()
	var errs []error
	for _, l := range logs {
		f := l.base()
		ahead, err := e.cursorsAhead(ctx, f.name, f.Last().Seq)
		if err != nil {
			return err
		}
		if len(ahead) > 0 {
			errs = append(errs, fmt.Errorf("%w: log %s ends at %d: %s", ErrCursorAhead, f.name, f.Last().Seq, strings.Join(ahead, ", ")))
		}
	}
	return errors.Join(errs...)
}

// Damaged notes what is missing or cannot be read, once, for [Stats]. The store
// notes what it finds itself; a user of it what one log tells of another.
func (s *Store) Damaged(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.damage, what) || len(s.damage) == maxDamage {
		return
	}
	s.damage = append(s.damage, what)
	s.log.Error("the logs are damaged; going on with what is intact", "what", what)
}

func (s *Store) synced(d time.Duration) {
	s.lastSync.Store(int64(d))
	if s.opts.OnSync != nil {
		s.opts.OnSync(d)
	}
}
