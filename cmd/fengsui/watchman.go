package main

import (
	"context"
	"fmt"
	"time"

	"fengsui/ingest"
)

// watchman looks at the gateway itself each second and writes what is wrong, and
// what no longer is, into the input log: so its troubles become alarms by the
// same way as everything else.
type watchman struct {
	receiver *ingest.Receiver
	troubles func() map[string]string // by name: the reason, in words
	standing map[string]string        // as last written; nil: not yet known in this run
	seen     map[string]int           // how often in a row a trouble was seen
}

const (
	watchEvery = time.Second
	// A trouble must be seen so often in a row: figures that are read one after
	// the other may differ for a moment.
	watchPatience = 3
)

func (w *watchman) Run(ctx context.Context) error {
	w.seen = map[string]int{}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := w.look(ctx); err != nil {
			return fmt.Errorf("write down a trouble: %w", err)
		}
	}
}

func (w *watchman) look(ctx context.Context) error {
	now := w.troubles()
	for name := range w.seen {
		if now[name] == "" {
			delete(w.seen, name)
		}
	}
	for name, reason := range now {
		if reason == "" {
			continue
		}
		if w.seen[name]++; w.seen[name] == watchPatience {
			if err := w.write(ctx, name, reason); err != nil {
				return err
			}
		}
	}
	// What stood before a restart may be over: those that are well say so once.
	for name, reason := range now {
		if was, known := w.standing[name]; reason == "" && (!known || was != "") {
			if err := w.write(ctx, name, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *watchman) write(ctx context.Context, name, reason string) error {
	if w.standing == nil {
		w.standing = map[string]string{}
	}
	w.standing[name] = reason
	return w.receiver.Submit(ctx, &ingest.Message{Kind: ingest.Trouble, Source: name, Topic: reason}, nil)
}

// leastFree is the share of the disk below which its filling up is an alarm.
const leastFree = 10

// troubles are what can be wrong with the gateway itself; those that are well
// have no reason.
func (m *measured) troubles() map[string]string {
	t := map[string]string{"books": "", "disk": "", "certificate": m.certificate.trouble(m.now())}
	if door, books := m.door().Residue, m.books().Residue; door != 0 || books != 0 {
		t["books"] = fmt.Sprintf("the books do not balance: %d messages at the door, %d behind it", door, books)
	}
	if free, size := diskSpace(m.data); size > 0 && free*100/size < leastFree {
		t["disk"] = fmt.Sprintf("the disk has %d MB left, %d %%", free>>20, free*100/size)
	}
	for _, s := range m.outlets.status() {
		name := "sink " + s.Sink
		t[name] = s.Stopped
		if s.Lost > 0 {
			t[name] = fmt.Sprintf("%d entries of its log are missing or damaged and never reach it", s.Lost)
		}
	}
	return t
}
