package ruletest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

// moment is something that happened in a test.
type moment struct {
	at      time.Duration
	reading *reading
	event   *alarms.Event
	note    string // of the intake, which refused something
}

// String is an expectation as people say it.
func (e *expect) String() string {
	words := []string{clock(e.at), e.rule}
	if e.field != "" {
		words = append(words, e.field)
	}
	words = append(words, e.level.String())
	for _, w := range []string{e.state, e.title} {
		if w != "" {
			words = append(words, w)
		}
	}
	if e.value != nil {
		words = append(words, "value "+number(*e.value))
	}
	if e.limit != nil {
		words = append(words, "limit "+number(*e.limit))
	}
	return strings.Join(append(words, e.flags...), " ")
}

// describe is an alarm in a line.
func describe(a *alarms.Alarm) string {
	words := []string{a.Rule}
	if a.Field != "" {
		words = append(words, a.Field)
	}
	words = append(words, a.Level.String(), string(a.State))
	if a.Value != nil {
		words = append(words, "value "+number(*a.Value)+a.Unit)
	}
	if a.Limit != nil && a.Level != rules.Normal {
		words = append(words, "limit "+number(*a.Limit)+a.Unit)
	}
	return strings.Join(append(words, a.Flags...), " ")
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// clock is a time from the start: "1h30m", not "1h30m0s".
func clock(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// timeline tells what happened until an expectation was looked at, and draws the
// values.
func (s *stage) timeline(e *expect) string {
	var b strings.Builder
	quiet := 0 // readings of which nothing came
	for i, m := range s.story {
		silent := m.reading != nil && (i+1 == len(s.story) || s.story[i+1].reading != nil)
		if silent && i > 0 && i+1 < len(s.story) {
			quiet++
			continue
		}
		if quiet > 0 {
			fmt.Fprintf(&b, "  %9s  %d ×\n", "…", quiet)
			quiet = 0
		}
		b.WriteString(m.line())
	}
	if e.timed {
		fmt.Fprintf(&b, "> %9s  ?\n", clock(e.at))
	}
	s.plot(&b)
	return b.String()
}

func (m *moment) line() string {
	switch {
	case m.reading != nil:
		words := make([]string, 0, len(m.reading.values))
		for _, name := range slices.Sorted(maps.Keys(m.reading.values)) {
			words = append(words, name+" "+number(m.reading.values[name]))
		}
		if m.reading.arrives != m.reading.at {
			words = append(words, "("+clock(m.reading.at)+")")
		}
		return fmt.Sprintf("  %9s  %s\n", clock(m.at), strings.Join(words, ", "))
	case m.event != nil:
		return fmt.Sprintf("  %9s    → %s: %s\n", clock(m.at), m.event.Type, describe(&m.event.Alarm))
	}
	return fmt.Sprintf("  %9s    ! %s\n", clock(m.at), m.note)
}

// plotWidth is how many readings are drawn, the newest.
const plotWidth = 72

// plot draws every field that changes, in the order of arrival.
func (s *stage) plot(b *strings.Builder) {
	columns := map[string][]float64{}
	for _, m := range s.story {
		if m.reading == nil {
			continue
		}
		for name, v := range m.reading.values {
			columns[name] = append(columns[name], v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		numbers := columns[name]
		numbers = numbers[max(len(numbers)-plotWidth, 0):]
		low, high := slices.Min(numbers), slices.Max(numbers)
		if low == high {
			continue
		}
		fmt.Fprintf(b, "  %s\n", sparkline(numbers, low, high))
		fmt.Fprintf(b, "  %s %s … %s\n", name, number(low), number(high))
	}
}

func sparkline(numbers []float64, low, high float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, len(numbers))
	for i, v := range numbers {
		line[i] = bars[int((v-low)/(high-low)*float64(len(bars)-1)+0.5)]
	}
	return string(line)
}
