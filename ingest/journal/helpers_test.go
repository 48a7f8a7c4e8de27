package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		log.Fatal(appendUntilKilled(context.Background(), dir, os.Stdout))
	}
	if dir := os.Getenv(stormEnv); dir != "" {
		log.Fatal(stormUntilKilled(context.Background(), dir, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// openStore opens the logs in dir for the length of the test.
func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	return openWith(t, Options{Dir: dir, Logger: testLogger(t)})
}

func openWith(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func openLog(t testing.TB, s *Store, o LogOptions) *Log {
	t.Helper()
	l, err := s.Log(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openKeyed(t testing.TB, s *Store, name string) *KeyedLog {
	t.Helper()
	l, err := s.KeyedLog(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testLogger shows what the store says when a test fails or runs with -v.
func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// body returns a recognisable entry of n bytes that does not compress.
func body(i, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
	if _, err := r.Read(b); err != nil {
		panic(err) // cannot fail
	}
	return append(fmt.Appendf(nil, "entry %d ", i), b...)
}

// fill appends entries first to last as body makes them, each with its number
// modulo 7 as count.
func fill(t testing.TB, l *Log, first, last, size int) {
	t.Helper()
	for i := first; i <= last; i++ {
		if _, err := l.Append(t.Context(), body(i, size), i%7); err != nil {
			t.Fatal(err)
		}
	}
}

// unitsTo is the total of the entries 1 to n made by fill.
func unitsTo(n int) (total uint64) {
	for i := 1; i <= n; i++ {
		total += uint64(i % 7)
	}
	return total
}

var errStop = errors.New("stop")

// source is what both kinds of log have in common for a reader.
type source interface {
	Read(ctx context.Context, from uint64, fn func(Record) error) error
	Last() Mark
}

// readAll reads from from to the present end, and copies.
func readAll(ctx context.Context, l source, from uint64) ([]Record, error) {
	var out []Record
	last := l.Last().Seq
	if from > last {
		return nil, nil
	}
	err := l.Read(ctx, from, func(r Record) error {
		r.Data = append([]byte{}, r.Data...)
		out = append(out, r)
		if r.Seq == last {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return out, err
}

// readOn reads everything that can be read from from to the end, and lists what
// could not be on the way: "gap 3-5", "damaged 7".
func readOn(t testing.TB, l source, from uint64) (got []Record, missing []string) {
	t.Helper()
	for last := l.Last().Seq; from <= last; {
		part, err := readAll(t.Context(), l, from)
		got = append(got, part...)
		var gap *GapError
		var damaged *CorruptError
		switch {
		case err == nil:
			return got, missing
		case errors.As(err, &gap):
			if gap.From != from+uint64(len(part)) || gap.To < gap.From {
				t.Fatalf("gap %d-%d while at %d", gap.From, gap.To, from+uint64(len(part)))
			}
			missing = append(missing, fmt.Sprintf("gap %d-%d", gap.From, gap.To))
			from = gap.To + 1
		case errors.As(err, &damaged):
			missing = append(missing, fmt.Sprintf("damaged %d", damaged.Seq))
			from = damaged.Seq + 1
		default:
			t.Fatal(err)
		}
	}
	return got, missing
}

// forget drops what is held in memory, so that reads come from disk.
func forget(f *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent.clear()
}

// crashCopy copies the folder of a store that is open, which is what a crash at
// this moment would leave.
func crashCopy(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	copyTree(t, dir, to)
	return to
}

// streamFile returns the path of a file of a stream.
func streamFile(dir, stream string, path ...string) string {
	return filepath.Join(append([]string{dir, "jetstream", "$G", "streams", stream}, path...)...)
}

// flip inverts one bit of a file.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// zeros overwrites n bytes of a file.
func zeros(t testing.TB, path string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, n), at); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func cutBy(t testing.TB, path string, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-n); err != nil {
		t.Fatal(err)
	}
}

// within fails the test if the context of what fn does had to end it.
func within(t testing.TB, d time.Duration, fn func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	fn(ctx)
	if ctx.Err() != nil {
		t.Fatal("took too long")
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, nil))
}
