package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fengsui/ingest"
	"fengsui/rules"
	"fengsui/sinks"
)

// watchman looks at the gateway itself each second and writes what is wrong, and
// what no longer is, into the input log: so its troubles become alarms by the
// same way as everything else.
type watchman struct {
	receiver *ingest.Receiver
	troubles func() map[string]trouble
	standing map[string]rules.Level // as last written; nil: not yet known in this run
	seen     map[string]int         // how often in a row a trouble was seen
}

// trouble is something wrong with the gateway itself: how bad, and why in words;
// no words where all is well.
type trouble struct {
	level  rules.Level
	reason string
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
	for name, now := range w.troubles() {
		was, known := w.standing[name]
		switch {
		case now.reason != "":
			if w.seen[name]++; now.level == was || w.seen[name] < w.patience(now) {
				continue
			}
		// What stood before a restart may be over: those that are well say so once.
		case known && was == rules.Normal:
			delete(w.seen, name)
			continue
		default:
			delete(w.seen, name)
		}
		if err := w.write(ctx, name, now); err != nil {
			return err
		}
	}
	return nil
}

// patience is how often in a row a trouble must be seen. One of the four levels
// was weighed by whoever saw it.
func (w *watchman) patience(t trouble) int {
	if t.level == rules.Fault {
		return watchPatience
	}
	return 1
}

func (w *watchman) write(ctx context.Context, name string, t trouble) error {
	if w.standing == nil {
		w.standing = map[string]rules.Level{}
	}
	w.standing[name] = t.level
	return w.receiver.Submit(ctx, &ingest.Message{
		Kind: ingest.Trouble, Source: name, Topic: t.reason, Payload: []byte(t.level.String()),
	}, nil)
}

// longLag is how long a sink that fails may stay behind before somebody should
// look.
const longLag = 3 * time.Minute

// troubles are what can be wrong with the gateway itself; those that are well
// have no reason.
func (m *measured) troubles() map[string]trouble {
	t := map[string]trouble{"disk": m.disk.trouble(), "clock": m.clock.trouble()}
	fault := func(name, reason string) {
		t[name] = trouble{}
		if reason != "" {
			t[name] = trouble{rules.Fault, reason}
		}
	}
	fault("certificate", m.certificate.trouble(m.clock.Now()))
	fault("logs", logsTrouble(m.store.Stats().Damage))
	fault("books", booksTrouble(m.door().Residue, m.books().Residue))
	for _, s := range m.outlets.status() {
		fault("sink "+s.Sink, sinkTrouble(s))
	}
	return t
}

// logsTrouble is what somebody should know of damage that was found on disk.
func logsTrouble(damage []string) string {
	if len(damage) == 0 {
		return ""
	}
	return "数据文件有损坏，网关以完好的部分继续运行：请检查磁盘（dmesg、smartctl），损坏文件的原样保存在数据目录的 damaged/ · " +
		"files on disk are damaged, the gateway goes on with what is intact: look at the disk (dmesg, smartctl); the files as they were lie in damaged/ of the data folder: " +
		strings.Join(damage, "; ")
}

// booksTrouble is what somebody should know of messages that are not accounted for.
func booksTrouble(door, behind int64) string {
	if door == 0 && behind == 0 {
		return ""
	}
	return fmt.Sprintf("收发账目不平：接收处相差 %d 条，处理处相差 %d 条报文，请保留数据目录并联系开发方 · the books do not balance: %d messages at the door, %d behind it; keep the data folder and report it",
		door, behind, door, behind)
}

// sinkTrouble is what somebody should know of a sink.
func sinkTrouble(s sinks.Status) string {
	switch {
	case s.Lost > 0:
		return fmt.Sprintf("日志中有 %d 条记录缺失或损坏，未能送达 · %d entries of its log are missing or damaged and never reach it", s.Lost, s.Lost)
	case s.Stopped != "":
		return "已停止，数据留在日志中 · it stands, what it should get waits in the log: " + s.Stopped
	case s.Trouble != "":
		return "部分消息对方未接收 · not everything was taken: " + s.Trouble
	case s.Error != "" && s.Lag > longLag:
		return "数分钟未能送出，数据留在日志中 · nothing was accepted for minutes; what it should get waits in the log: " + s.Error
	}
	return ""
}
