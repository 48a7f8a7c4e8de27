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
	fengsui    []cost // sent to directly
	behind     []cost // reading from Mosquitto
	mosquitto  []cost
	paho       []cost
	calmCPU    time.Duration
	calmFor    time.Duration
	acked      latencies
	screen     latencies
	memoryCalm int64
	memoryPeak int64
	startEmpty time.Duration
	startFull  time.Duration
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
	row(&b, fmt.Sprintf("**fengsui, devices connect to it: %s, decoded, judged, logged**", kept(r.QoS)), r.fengsui)
	if len(r.mosquitto) > 0 {
		row(&b, "fengsui, reading from Mosquitto through paho: the same", r.behind)
		row(&b, "Mosquitto, routing to one subscriber", r.mosquitto)
		row(&b, "paho subscriber that only counts, behind it", r.paho)
	} else {
		b.WriteString("| Mosquitto and a paho subscriber | not installed | |\n")
	}
	fmt.Fprintf(&b, "\n| fengsui | p50 | p99 | most | of |\n|---|---|---|---|---|\n")
	spread(&b, fmt.Sprintf("publish → screen (websocket) at %d messages/s", r.Rate), r.screen)
	spread(&b, fmt.Sprintf("publish → PUBACK (on disk) at %d messages/s", r.Rate), r.acked)
	fmt.Fprintf(&b, "\n| fengsui | |\n|---|---|\n")
	fmt.Fprintf(&b, "| share of one core at %d messages/s | %.0f %% |\n", r.Rate, 100*r.calmCPU.Seconds()/r.calmFor.Seconds())
	fmt.Fprintf(&b, "| resident memory at %d messages/s, and at its highest in the rounds | %d MB, %d MB |\n", r.Rate, r.memoryCalm>>20, r.memoryPeak>>20)
	fmt.Fprintf(&b, "| start to ready, empty | %d ms |\n", r.startEmpty.Milliseconds())
	logged := (len(r.fengsui)+len(r.behind))*r.Messages + len(r.acked) + len(r.screen)
	fmt.Fprintf(&b, "| start to ready, with %d messages in the log | %d ms |\n", logged, r.startFull.Milliseconds())
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
func row(b *strings.Builder, who string, rounds []cost) {
	micros, rates := make([]float64, len(rounds)), make([]float64, len(rounds))
	for i, c := range rounds {
		micros[i], rates[i] = c.micros(), c.perSecond
	}
	slices.Sort(micros)
	slices.Sort(rates)
	middle, last := len(rounds)/2, len(rounds)-1
	fmt.Fprintf(b, "| %s | %.1f (%.1f–%.1f) | ", who, micros[middle], micros[0], micros[last])
	if rates[last] > 0 {
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
