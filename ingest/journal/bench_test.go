package journal

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// telemetry is an entry as the gateway makes them: n bytes of messages that are
// much alike, which s2 shortens to about a fifth.
func telemetry(n int) []byte {
	b := make([]byte, 0, n+200)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, `v1/site-%d/gas-%d/telemetry{"ts":%d,"seq":%d,"values":{"gas_lel_pct":%d.%d,"temp_c":2%d.%d,"humidity_pct":4%d,"battery_pct":9%d,"valve_state":1}}`,
			i%40, i%977, 1782541925000+i*37, i, i%7, i*31%10, i%9, i*17%10, i%10, i*7%10)
	}
	return b[:n]
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			l := openLog(b, openStore(b, b.TempDir()), LogOptions{Name: "input"})
			data := telemetry(size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := l.Append(b.Context(), data, size/150); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(l.Bytes())/float64(l.Last().Seq), "disk-B/op")
		})
	}
}

func BenchmarkKeyedAppend(b *testing.B) {
	k := openKeyed(b, openStore(b, b.TempDir()), "alarms")
	event := telemetry(500)
	for i := 0; b.Loop(); i++ {
		if _, err := k.Append(b.Context(), fmt.Sprint("alarm-", i%1000), event, uint64(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// One by one against all at once, in the same run: ns/event of either.
func BenchmarkKeyedAppendAll(b *testing.B) {
	event := telemetry(500)
	for _, n := range []int{4, 8, 12, 16, 30, 100, 500, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := openKeyed(b, openStore(b, b.TempDir()), "alarms")
			entries := make([]KeyedEntry, n)
			for i := range entries {
				entries[i] = KeyedEntry{fmt.Sprint("alarm-", i), event}
			}
			var single, all time.Duration
			for b.Loop() {
				began := time.Now()
				for _, e := range entries[:min(n, 30)] {
					if _, err := k.Append(b.Context(), e.Key, e.Data, k.Last().Seq); err != nil {
						b.Fatal(err)
					}
				}
				between := time.Now()
				if _, err := k.AppendAll(b.Context(), entries, k.Last().Seq); err != nil {
					b.Fatal(err)
				}
				single += between.Sub(began)
				all += time.Since(between)
			}
			b.ReportMetric(float64(single.Nanoseconds())/float64(b.N*min(n, 30)), "ns-single/event")
			b.ReportMetric(float64(all.Nanoseconds())/float64(b.N*n), "ns-all/event")
		})
	}
}

// Each operation reads one entry; the log is read again and again from its
// beginning.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			l := openLog(b, openStore(b, b.TempDir()), LogOptions{Name: "input"})
			const bytes = 64 << 20
			n := bytes / size
			data := telemetry(size)
			for range n {
				if _, err := l.Append(b.Context(), data, size/150); err != nil {
					b.Fatal(err)
				}
			}
			forget(&l.feed)
			b.SetBytes(int64(size))
			b.ResetTimer()
			for left := b.N; left > 0; {
				err := l.Read(b.Context(), 1, func(r Record) error {
					if left--; left == 0 || r.Seq == uint64(n) {
						return errStop
					}
					return nil
				})
				if !errors.Is(err, errStop) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLatest(b *testing.B) {
	k := openKeyed(b, openStore(b, b.TempDir()), "alarms")
	const keys = 2000
	event := telemetry(500)
	for i := range 2 * keys {
		if _, err := k.Append(b.Context(), fmt.Sprint("alarm-", i%keys), event, uint64(i)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		if err := k.Latest(b.Context(), func(Record) error { n++; return nil }); err != nil || n != keys {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkFollow is the time from an append to a live reader that has it, the
// sync included.
func BenchmarkFollow(b *testing.B) {
	l := openLog(b, openStore(b, b.TempDir()), LogOptions{Name: "input"})
	data := telemetry(16 << 10)
	got, done := make(chan time.Time), make(chan error)
	go func() {
		done <- l.Read(b.Context(), 1, func(r Record) error {
			if r.Count == 0 {
				return errStop
			}
			got <- time.Now()
			return nil
		})
	}()
	var behind time.Duration
	for b.Loop() {
		if _, err := l.Append(b.Context(), data, 100); err != nil {
			b.Fatal(err)
		}
		acked := time.Now()
		behind += (<-got).Sub(acked)
	}
	b.ReportMetric(float64(behind.Nanoseconds())/float64(b.N), "ns-after-ack/op")
	if _, err := l.Append(b.Context(), nil, 0); err != nil {
		b.Fatal(err)
	}
	if err := <-done; !errors.Is(err, errStop) {
		b.Fatal(err)
	}
}
