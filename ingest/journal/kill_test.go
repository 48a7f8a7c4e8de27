package journal

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

var killRounds = flag.Int("kill.rounds", 15, "how often TestKill kills the process that appends")

// childEnv makes the test binary the process that is killed; it names the folder.
const childEnv = "FENGSUI_JOURNAL_CHILD"

// promised is what the killed process has said was on disk, or what was found
// there after a kill.
type promised struct {
	entry  uint64 // of the input log
	event  uint64 // of the alarm log
	cursor uint64 // the judge's
}

// A process that appends, saves cursors and trims is killed at random moments,
// while it recovers too. Nothing it was promised may be lost, damaged, doubled or
// out of order, and of what was under way only one entry a log may be there.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for some seconds")
	}
	dir := t.TempDir()
	var p promised
	epochs := make(map[string]string)
	for round := range *killRounds {
		killed := runAndKill(t, dir, &p)
		inspect(t, crashCopy(t, dir), &p, epochs)
		if t.Failed() {
			t.Fatalf("in round %d, killed %s", round, killed)
		}
	}
	if p.entry < uint64(*killRounds) || p.event == 0 || p.cursor == 0 {
		t.Errorf("little was tested: %+v", p)
	}
	t.Logf("%d kills, promised %+v", *killRounds, p)
}

// runAndKill starts the process, kills it, and notes what it was promised.
func runAndKill(t *testing.T, dir string, p *promised) (when string) {
	t.Helper()
	cmd := childCommand(t, childEnv, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func(after time.Duration) {
		time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended by itself, which shows
	}
	when = "while it worked"
	if rand.IntN(5) == 0 {
		when = "perhaps before it was ready"
		kill(time.Duration(rand.Int64N(int64(100 * time.Millisecond))))
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			kill(time.Duration(rand.Int64N(int64(150 * time.Millisecond))))
			continue
		}
		note(t, lines.Text(), p)
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.String() != "signal: killed" {
		t.Fatalf("the process ended by itself: %v", err)
	}
	return when
}

// childCommand is this test binary as the process that env names.
func childCommand(t *testing.T, env, dir string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), env+"="+dir)
	cmd.Stderr = t.Output()
	return cmd
}

// note takes in one line of the process.
func note(t *testing.T, line string, p *promised) {
	t.Helper()
	var what string
	var at uint64
	if _, err := fmt.Sscan(line, &what, &at); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	seq, known := map[string]*uint64{"entry": &p.entry, "event": &p.event, "cursor": &p.cursor}[what]
	if !known || at < *seq {
		t.Fatalf("line %q after %+v", line, *p)
	}
	*seq = at
}

// inspect recovers a copy of what the kill left and compares it with the promises.
func inspect(t *testing.T, dir string, p *promised, epochs map[string]string) {
	t.Helper()
	s := openStore(t, dir)
	defer closeStore(t, s)
	l := openLog(t, s, LogOptions{Name: "input"})
	k := openKeyed(t, s, "alarms")
	inspectEnd(t, &l.feed, &p.entry, epochs)
	inspectEnd(t, &k.feed, &p.event, epochs)
	entries, err := readAll(t.Context(), l, l.First().Seq)
	if err != nil {
		t.Error(err)
	}
	for i, rec := range entries {
		n := int(l.First().Seq) + i
		if rec.Seq != uint64(n) || rec.Count != n%7 || rec.Total != unitsTo(n) || string(rec.Data) != string(body(n, killSize(n))) {
			t.Fatalf("entry %d came as %d, count %d, total %d", n, rec.Seq, rec.Count, rec.Total)
		}
	}
	first := p.event - min(p.event, 1000) + 1 // it is never trimmed and grows long
	events, err := readAll(t.Context(), k, first)
	if err != nil {
		t.Error(err)
	}
	for i, rec := range events {
		n := first + uint64(i)
		if rec.Seq != n || rec.Total != n || string(rec.Data) != fmt.Sprint("event ", n) {
			t.Fatalf("event %d came as %d, total %d: %s", n, rec.Seq, rec.Total, rec.Data)
		}
	}
	at, err := openCursor(t, s, "input/judge").Load(t.Context())
	if err != nil || at < p.cursor {
		t.Errorf("the cursor is at %d, promised was %d, %v", at, p.cursor, err)
	}
	for _, log := range s.Stats().Logs {
		if log.LostEntries > 0 || log.Repeated > 0 {
			t.Errorf("log %s: %+v", log.Name, log)
		}
	}
}

// inspectEnd compares the end of a log with what was promised. What is there now
// readers have seen, so it counts as promised from here on.
func inspectEnd(t *testing.T, log *feed, promised *uint64, epochs map[string]string) {
	t.Helper()
	last := log.Last().Seq
	if last != *promised && last != *promised+1 {
		t.Errorf("log %s ends at %d, promised was %d", log.name, last, *promised)
	}
	*promised = last
	if log.statsNow().LostBytes > 0 {
		delete(epochs, log.name) // a kill in the midst of a write: that may have been more than the entry under way
		return
	}
	if epoch, known := epochs[log.name]; known && epoch != log.Epoch() {
		t.Errorf("log %s has a new epoch", log.name)
	}
	if last > 0 {
		epochs[log.name] = log.Epoch()
	}
}

func killSize(n int) int { return 200 + n*7919%20000 }

// appendUntilKilled is what the killed process does. It writes a line for each
// promise it was given.
func appendUntilKilled(ctx context.Context, dir string, out io.Writer) error {
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	l, err := s.Log(ctx, LogOptions{Name: "input", SegmentBytes: 200 << 10})
	if err != nil {
		return err
	}
	k, err := s.KeyedLog(ctx, "alarms")
	if err != nil {
		return err
	}
	c, err := s.Cursor(ctx, "input/judge")
	if err != nil {
		return err
	}
	if _, err := c.Load(ctx); err != nil {
		return err
	}
	say := func(what string, at uint64) error {
		_, err := fmt.Fprintf(out, "%s %d\n", what, at)
		return err
	}
	if _, err := io.WriteString(out, "ready\n"); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error {
		for {
			n := int(l.Last().Seq) + 1
			mark, err := l.Append(ctx, body(n, killSize(n)), n%7)
			if err != nil {
				return err
			}
			if err := say("entry", mark.Seq); err != nil {
				return err
			}
		}
	})
	g.Go(func() error {
		for {
			last := k.Last().Seq
			seq, err := k.Append(ctx, fmt.Sprint("site.", last%9), fmt.Append(nil, "event ", last+1), last)
			if err != nil {
				return err
			}
			if err := say("event", seq); err != nil {
				return err
			}
		}
	})
	g.Go(func() error {
		for {
			seq := l.Last().Seq
			if err := c.Save(ctx, seq); err != nil {
				return err
			}
			if err := say("cursor", seq); err != nil {
				return err
			}
			if err := l.Trim(ctx, seq-min(seq, 50)); err != nil {
				return err
			}
		}
	})
	return g.Wait()
}
