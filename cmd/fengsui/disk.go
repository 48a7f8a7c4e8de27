package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"fengsui/ingest/journal"
	"fengsui/rules"
)

// DiskConfig says when the room for the logs is an alarm, and when no more
// messages are taken. It is about two rooms at once: the disk of the data folder
// and journal.max_bytes; the scarcer of the two counts.
type DiskConfig struct {
	// WarnPercent used is a yellow alarm, AlarmPercent an orange one. Raise them
	// on a disk that others fill as well. Default 70 and 90.
	WarnPercent  int `yaml:"warn_percent"`
	AlarmPercent int `yaml:"alarm_percent"`
	// FloorBytes is the free space below which no message is taken any more:
	// what is left is for alarms, people's commands and the console. Devices and
	// brokers keep what they could not deliver. Default 0: a twentieth of the
	// disk, at least 1 GB and at most 10, but never more than 8 % of it.
	FloorBytes int64 `yaml:"floor_bytes"`
	// Overflow is what gives way at the floor: "refuse" (default) takes no new
	// messages and loses none; "drop_oldest" drops the oldest that were judged,
	// though InfluxDB may not have them yet, and goes on.
	Overflow string `yaml:"overflow"`
}

const (
	overflowRefuse     = "refuse"
	overflowDropOldest = "drop_oldest"
)

func defaultDisk() DiskConfig {
	return DiskConfig{WarnPercent: 70, AlarmPercent: 90, Overflow: overflowRefuse}
}

func (d *DiskConfig) validate(wrong func(path, format string, args ...any)) {
	if d.WarnPercent < 1 || d.AlarmPercent > 100 || d.WarnPercent > d.AlarmPercent {
		wrong("$.disk", "warn_percent is %d and alarm_percent %d; want 1 to 100, the first not above the second", d.WarnPercent, d.AlarmPercent)
	}
	if d.FloorBytes < 0 {
		wrong("$.disk.floor_bytes", "floor_bytes is %d; want bytes, or 0 for a twentieth of the disk", d.FloorBytes)
	}
	if d.Overflow != overflowRefuse && d.Overflow != overflowDropOldest {
		wrong("$.disk.overflow", "overflow is %q; want %s or %s", d.Overflow, overflowRefuse, overflowDropOldest)
	}
}

// floor is the free space below which nothing is taken.
func (d *DiskConfig) floor(size int64) int64 {
	if d.FloorBytes > 0 {
		return d.FloorBytes
	}
	return min(min(max(size/20, 1e9), 10e9), size/100*8)
}

// room is what is left for the logs at one moment.
type room struct {
	free, size int64   // of the disk, as df shows it
	logs       float64 // share of what the logs may take that they do take, 0 to 1
	refused    bool    // the disk has refused a write
}

func (r room) usedPercent() int {
	if r.size <= 0 {
		return 0
	}
	return int(100 - r.free*100/r.size)
}

// diskLevel is how scarce the room is; higher is scarcer.
type diskLevel int

const (
	diskOK diskLevel = iota
	diskWarn
	diskAlarm
	diskFloor
	diskFailed
)

// String is how the console's health frame calls it.
func (l diskLevel) String() string {
	return [...]string{"ok", "warn70", "warn90", "floor", "failed"}[l]
}

// The logs stop taking messages a little below their limit: the rest is for
// what the gateway itself has to write down.
const logsFloor, logsResume = 0.97, 0.92

// slack is by how many percent the use must fall below a threshold before the
// alarm ends, so that a disk at the threshold does not raise one a minute.
const slack = 5

// next is the level that follows level in the room r: it rises at a threshold
// and falls a little below it.
func (d *DiskConfig) next(level diskLevel, r room) diskLevel {
	if r.refused {
		return diskFailed
	}
	used := max(r.usedPercent(), int(r.logs*100))
	floor := d.floor(r.size)
	reached := func(l diskLevel) bool {
		held := level >= l // then it takes more to leave it
		switch l {
		case diskFloor:
			if held {
				return r.free < floor+floor/4 || r.logs >= logsResume
			}
			return r.free < floor || r.logs >= logsFloor
		case diskAlarm:
			return used >= d.AlarmPercent || held && used > d.AlarmPercent-slack
		default:
			return used >= d.WarnPercent || held && used > d.WarnPercent-slack
		}
	}
	for l := diskFloor; l > diskOK; l-- {
		if reached(l) {
			return l
		}
	}
	return diskOK
}

// diskWatch looks at the room for the logs, pauses the intake at the floor and
// lets it go on when there is room again.
type diskWatch struct {
	config  DiskConfig
	look    func() room
	sources *sources
	logger  *slog.Logger
	now     atomic.Pointer[diskView]
}

// diskView is what the watch saw last.
type diskView struct {
	level diskLevel
	room
	floor int64
}

// diskEvery is short enough that a flood does not eat the reserve between two looks.
const diskEvery = 250 * time.Millisecond

func newDiskWatch(cfg Config, store *journal.Store, input, readings sized, alarms *journal.KeyedLog, sources *sources, logger *slog.Logger) *diskWatch {
	w := &diskWatch{config: cfg.Disk, sources: sources, logger: logger, look: func() room {
		all := input.log.Bytes() + readings.log.Bytes() + alarms.Bytes()
		r := room{refused: store.Health() != nil}
		r.free, r.size = diskSpace(cfg.Data)
		r.logs = max(input.share(), readings.share(), float64(all)/float64(cfg.Journal.MaxBytes))
		return r
	}}
	w.now.Store(&diskView{})
	return w
}

// Run looks until ctx ends.
func (w *diskWatch) Run(ctx context.Context) error {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		w.step()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *diskWatch) step() {
	r := w.look()
	was := w.now.Load().level
	view := &diskView{level: w.config.next(was, r), room: r, floor: w.config.floor(r.size)}
	w.now.Store(view)
	switch {
	case view.level >= diskFloor && was < diskFloor:
		w.logger.Error("the disk is at its floor: no messages are taken", "free", r.free, "floor", view.floor, "logs", r.logs)
		w.sources.pause("the disk of the gateway is at its floor; keep the message and send it again later")
	case view.level < diskFloor && was >= diskFloor:
		w.logger.Info("there is room on the disk again: messages are taken", "free", r.free, "floor", view.floor, "logs", r.logs)
		w.sources.resume()
	}
}

// trouble says how scarce the room is, for the alarm.
func (w *diskWatch) trouble() trouble {
	v := w.now.Load()
	what := fmt.Sprintf("磁盘已用 %d %%，剩余 %s；日志已用其限额的 %.0f %%", v.usedPercent(), inUnits(v.free), v.logs*100)
	english := fmt.Sprintf("the disk is %d %% full with %s left, the logs take %.0f %% of journal.max_bytes", v.usedPercent(), inUnits(v.free), v.logs*100)
	const remedyZH = "请清理或扩容数据盘，检查 InfluxDB 是否长期未写入，或缩短 journal.keep"
	const remedy = "free or enlarge the disk of the data folder, see whether InfluxDB has been away for long, or shorten journal.keep"
	switch v.level {
	case diskWarn:
		return trouble{rules.Yellow, what + "。" + remedyZH + " · " + english + "; " + remedy}
	case diskAlarm:
		return trouble{rules.Orange, what + "，接近下限。" + remedyZH + " · " + english + ", near the floor; " + remedy}
	case diskFloor, diskFailed:
		return trouble{rules.Red, fmt.Sprintf("磁盘到达下限（%s），暂停接收：%s。腾出空间后自动恢复，设备端数据由设备和服务器保留。%s · the disk is at its floor (%s) and no messages are taken: %s. It goes on by itself once there is room; %s",
			inUnits(v.floor), what, remedyZH, inUnits(v.floor), english, remedy)}
	}
	return trouble{}
}

// inUnits writes bytes as people read them.
func inUnits(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d KB", n/1e3)
}

// diskSpace is the room on the disk of a folder, free and in all, without what
// the file system keeps for root, as df counts; zeros if it cannot be told.
func diskSpace(folder string) (free, size int64) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return 0, 0
	}
	used := int64(st.Blocks-st.Bfree) * st.Bsize
	free = int64(st.Bavail) * st.Bsize
	return free, used + free
}
