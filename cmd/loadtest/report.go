package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what was measured.
type report struct {
	options
	began      time.Time
	busy       string // load average when it began
	contenders []*contender
	calm       []calmPhase
	memoryPeak int64
	logged     int // messages in the log at the restarts
	startEmpty, startFull,
	startKilled time.Duration
	memoryMany, memoryManyPeak int64
}

// cost of one round.
type cost struct {
	messages  int
	cpu       time.Duration
	perSecond float64 // 0: not known
}

func (c cost) micros() float64 {
	return float64(c.cpu) / float64(time.Microsecond) / float64(c.messages)
}

func (r *report) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d cores of %s, load average before %s; %d devices, %d connections, five values a message, QoS %d, %d × %d messages, median (range); the generator runs on the same cores.\n\n",
		r.began.UTC().Format("2006-01-02 15:04 UTC"), runtime.Version(), runtime.NumCPU(), processor(), r.busy,
		r.Sites*r.DevicesEach, r.Sites, r.QoS, r.Rounds, r.Messages)
	b.WriteString("| who | CPU µs a message | messages/s |\n|---|---|---|\n")
	for _, c := range r.contenders {
		c.row(&b)
	}
	b.WriteString("\n| fengsui | p50 | p99 | most | of |\n|---|---|---|---|---|\n")
	for _, c := range r.calm {
		spread(&b, fmt.Sprintf("publish → screen (websocket) at %s messages/s", thousands(float64(c.rate))), c.screen)
		spread(&b, fmt.Sprintf("publish → PUBACK (on disk) at %s messages/s", thousands(float64(c.rate))), c.acked)
		spread(&b, "write and fsync of 4 KB by a bystander in the same minute", c.fsync)
	}
	b.WriteString("\n| fengsui | |\n|---|---|\n")
	for _, c := range r.calm {
		fmt.Fprintf(&b, "| at %s messages/s: share of one core, resident memory | %.0f %%, %d MB |\n", thousands(float64(c.rate)), 100*c.cpu.Seconds()/c.lasted.Seconds(), c.memory>>20)
	}
	fmt.Fprintf(&b, "| resident memory at its highest in the rounds | %d MB |\n", r.memoryPeak>>20)
	if r.Many > 0 {
		fmt.Fprintf(&b, "| resident memory with %s devices that all spoke, and at its highest | %d MB, %d MB |\n", thousands(float64(r.Many)), r.memoryMany>>20, r.memoryManyPeak>>20)
	}
	fmt.Fprintf(&b, "| start to ready, empty | %d ms |\n", r.startEmpty.Milliseconds())
	fmt.Fprintf(&b, "| start to ready, with %d messages in the log | %d ms |\n", r.logged, r.startFull.Milliseconds())
	fmt.Fprintf(&b, "| the same after kill -9 | %d ms |\n", r.startKilled.Milliseconds())
	_, err := io.WriteString(w, b.String())
	return err
}

func kept(qos byte) string {
	if qos == 0 {
		return "kept on disk"
	}
	return "PUBACK after fsync"
}

// row shows the median round and, behind it, the range.
func (c *contender) row(b *strings.Builder) {
	micros, rates := make([]float64, len(c.rounds)), make([]float64, len(c.rounds))
	for i, round := range c.rounds {
		micros[i], rates[i] = round.micros(), round.perSecond
	}
	slices.Sort(micros)
	slices.Sort(rates)
	middle, last := len(micros)/2, len(micros)-1
	fmt.Fprintf(b, "| %s | %.1f (%.1f–%.1f) | ", c.who, micros[middle], micros[0], micros[last])
	if !c.quiet {
		fmt.Fprintf(b, "%s (%s–%s)", thousands(rates[middle]), thousands(rates[0]), thousands(rates[last]))
	}
	b.WriteString(" |\n")
}

func spread(b *strings.Builder, what string, l latencies) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
	fmt.Fprintf(b, "| %s | %s | %s | %s | %d |\n", what, ms(l.percentile(50)), ms(l.percentile(99)), ms(l.percentile(100)), len(l))
}

// thousands writes 187000 as 187,000, to three digits.
func thousands(x float64) string {
	digits := fmt.Sprintf("%.0f", x)
	if len(digits) > 3 {
		digits = digits[:3] + strings.Repeat("0", len(digits)-3)
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// processor is the CPU's name, where the kernel tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}

// loadAverage is how busy the machine was in the last minute, in its own words.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	minute, _, _ := strings.Cut(string(text), " ")
	return minute
}
