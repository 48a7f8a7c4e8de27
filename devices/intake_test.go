package devices

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the intake says into the golden files")

// day is the day on which all tests happen.
var day = time.Date(2026, 6, 27, 0, 0, 0, 0, time.UTC)

// TestIntakeGolden walks testdata/intake.txt: what becomes of each message,
// given those before it, with and without a restart in front of it.
func TestIntakeGolden(t *testing.T) {
	const file = "testdata/intake.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var in, restarting *Intake
	var got strings.Builder
	messages := 0
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "  "):
			continue // what it said last time
		case strings.HasPrefix(line, "== "):
			r := county(t)
			in, restarting = NewIntake(IntakeOptions{Registry: r}), NewIntake(IntakeOptions{Registry: r})
		case line != "\n" && line[0] != '#':
			messages++
			got.WriteString(line)
			says := accept(in, incoming(t, line))
			got.WriteString(says)
			restarting = restarted(t, restarting, restarting.registry.Load())
			if after := accept(restarting, incoming(t, line)); after != says {
				t.Errorf("after a restart, %sbecomes\n%snot\n%s", line, after, says)
			}
			continue
		}
		got.WriteString(line)
	}
	if messages < 100 {
		t.Fatalf("only %d messages were read", messages)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := strings.Split(string(text), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("%s:%d: got %q", file, i+1, line)
		}
	}
}

var (
	clockTime = regexp.MustCompile(`@(\d\d:\d\d:\d\d)(\.\d\d\d)?`)
	message   = regexp.MustCompile(`^(\S+) ((?:dup |retained |id=\d+ |client=\S+ )*)(\S+)(?: (.*))?$`)
)

// incoming reads a line of the golden file:
//
//	10:00:00 [dup] [retained] [id=7] [client=c] topic payload
//
// A topic without a slash in front is completed to v1/…/telemetry; @09:30:00 in
// a payload is that time in epoch ms.
func incoming(t *testing.T, line string) Incoming {
	m := message.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
	if m == nil {
		t.Fatalf("cannot read %q", line)
	}
	at := func(s string) int64 {
		c, err := time.Parse("15:04:05.999", s)
		if err != nil {
			t.Fatal(err)
		}
		return day.Add(c.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))).UnixMilli()
	}
	payload := clockTime.ReplaceAllStringFunc(m[4], func(s string) string { return strconv.FormatInt(at(s[1:]), 10) })
	in := Incoming{Position: 1, Received: at(m[1]), Source: "embedded", Client: "c", Payload: []byte(payload)}
	for _, mark := range strings.Fields(m[2]) {
		switch name, value, _ := strings.Cut(mark, "="); name {
		case "dup":
			in.Dup = true
		case "retained":
			in.Retained = true
		case "id":
			n, _ := strconv.Atoi(value)
			in.PacketID = uint16(n)
		case "client":
			in.Client = value
		}
	}
	in.Topic = strings.TrimPrefix(m[3], "/")
	if !strings.HasPrefix(m[3], "/") {
		in.Topic = "v1/" + m[3] + "/telemetry"
		if rest, ok := strings.CutSuffix(m[3], "/status"); ok {
			in.Topic = "v1/" + rest + "/status"
		}
	}
	return in
}

// accept takes a message in and tells in words what became of it.
func accept(i *Intake, in Incoming) string {
	var d Decoded
	var out Outcome
	i.Decode(in, &d)
	v := i.Accept(&d, &out)
	var b strings.Builder
	fmt.Fprintf(&b, "  %s", v.Class)
	if v.Spoke {
		b.WriteString(" spoke")
	}
	switch v.Presence {
	case Online:
		b.WriteString(" online")
	case Offline:
		b.WriteString(" offline")
	}
	if out.Repeats > 0 {
		fmt.Fprintf(&b, " repeats=%d", out.Repeats)
	}
	b.WriteByte('\n')
	for _, r := range v.Readings {
		fmt.Fprintf(&b, "  at %s%s", time.UnixMilli(r.Time).UTC().Format("15:04:05.999"), tellFlags(r.Flags))
		for _, x := range r.Values {
			fmt.Fprintf(&b, " %s=%v", x.Field.Name, x.Number)
			if x.Over {
				b.WriteString("(over)")
			} else if x.Quality != Good {
				fmt.Fprintf(&b, "(%s)", x.Quality)
			}
		}
		b.WriteByte('\n')
	}
	for _, r := range v.Rejections {
		fmt.Fprintf(&b, "  %s", r.Code)
		if r.Whole {
			b.WriteString(" whole")
		}
		if r.Field != "" {
			fmt.Fprintf(&b, " %s", r.Field)
		}
		fmt.Fprintf(&b, ": %s", r.Detail)
		if r.Hint != "" {
			fmt.Fprintf(&b, " (%s)", r.Hint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func tellFlags(f Flags) string {
	var b strings.Builder
	for i, word := range flagWords {
		if f&(1<<i) != 0 {
			b.WriteString(" " + word)
		}
	}
	return b.String()
}
