package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"fengsui/ingest/journal"
)

// runOnDisk runs the gateway, and again whenever the disk did not let it go on.
// A disk that takes no writes cannot be worked round: everything stops, nothing
// is acknowledged, and only a page that says so is served, until the disk takes
// writes again. Starting anew from what is on disk is the one way back that is
// tested with every crash.
func runOnDisk(ctx context.Context, o appOptions) error {
	for {
		err := runApp(ctx, o)
		if ctx.Err() != nil || err == nil || !diskFault(o.Config.Data, err) {
			return err
		}
		s := newStopped(o, err)
		o.Logger.Error("the disk does not let the gateway run; it goes on by itself once it does", "error", err, "fault", s.fault.en)
		if err := s.wait(ctx); err != nil {
			return err
		}
		o.Logger.Info("the disk takes writes again; starting")
	}
}

// diskFault tells whether an error is the disk's doing: by its kind, or because
// the disk refuses a write now.
func diskFault(folder string, err error) bool {
	if errors.Is(err, journal.ErrLocked) || errors.Is(err, syscall.EACCES) {
		return false
	}
	for _, e := range []error{journal.ErrDisk, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) { // the log server gives words only
			return true
		}
	}
	_, err = os.Stat(logsFolder(folder))
	return !errors.Is(err, fs.ErrNotExist) && tryDisk(folder, 0) != nil
}

// probeBytes is what is written to see whether the disk takes writes.
const probeBytes = 1 << 20

// tryDisk writes a file and syncs it, and wants that much left then.
func tryDisk(folder string, reserve int64) error {
	name := filepath.Join(folder, ".probe")
	err := writeSynced(name, make([]byte, probeBytes))
	if removed := os.Remove(name); err == nil {
		err = removed
	}
	if err != nil {
		return err
	}
	if free, _ := diskSpace(folder); free < reserve {
		return fmt.Errorf("%s free, %s wanted to go on: %w", inUnits(free), inUnits(reserve), syscall.ENOSPC)
	}
	return nil
}

// stopped stands in for the gateway while the disk takes no writes.
type stopped struct {
	o     appOptions
	since time.Time
	fault fault
	used  bool // the folder held logs before
	free  atomic.Int64
}

// fault is what is wrong with the disk and what to do, in both languages.
type fault struct{ zh, en, remedyZH, remedy string }

func faultOf(err error) fault {
	is := func(e error) bool { return errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) }
	switch {
	case is(syscall.ENOSPC), is(syscall.EDQUOT):
		return fault{"数据盘已满", "the data disk is full", "清理或扩容数据盘", "free or enlarge the data disk"}
	case is(syscall.EROFS):
		return fault{"数据盘为只读", "the data disk is read-only",
			"磁盘出错后系统常将其改为只读：查看 dmesg，修复文件系统后重新挂载为可写",
			"a system makes a disk read-only after an error: look at dmesg, repair the file system and mount it writable"}
	}
	return fault{"数据盘写入出错", "the data disk does not take writes",
		"查看 dmesg 和磁盘健康（smartctl），检查连线或更换磁盘",
		"look at dmesg and at the disk's health (smartctl), check its cabling or replace it"}
}

func newStopped(o appOptions, err error) *stopped {
	if probe := tryDisk(o.Config.Data, 0); probe != nil {
		err = probe // what is wrong now
	}
	_, there := os.Stat(logsFolder(o.Config.Data))
	return &stopped{o: o, since: time.Now(), fault: faultOf(err), used: !errors.Is(there, fs.ErrNotExist)}
}

func logsFolder(data string) string { return filepath.Join(data, "jetstream") }

const (
	probeEvery = time.Second
	// A disk that is well now though it was not a moment ago is not believed at once.
	probePatience = 2
)

// wait serves the page until the disk has taken writes for a while.
func (s *stopped) wait(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.serve(ctx)
	}()
	defer func() { stop(); <-served }() // the gateway needs the port
	_, size := diskSpace(s.o.Config.Data)
	reserve := s.o.Config.Disk.floor(size) / 2
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	said := ""
	for well := 0; well < probePatience; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		well++
		if err := s.well(reserve); err != nil {
			well = 0
			if err.Error() != said {
				said = err.Error()
				s.o.Logger.Warn("the gateway cannot go on yet", "error", err)
			}
		}
		free, _ := diskSpace(s.o.Config.Data)
		s.free.Store(free)
	}
	return nil
}

// well says why the gateway cannot go on yet.
func (s *stopped) well(reserve int64) error {
	if _, err := os.Stat(logsFolder(s.o.Config.Data)); s.used && err != nil {
		return fmt.Errorf("the data folder is not what it was, is its disk mounted? %w", err) // or the gateway would begin with nothing
	}
	return tryDisk(s.o.Config.Data, reserve)
}

// serve answers on the console's address until ctx ends. Without the port it
// says so in the log: there is nothing else it could do.
func (s *stopped) serve(ctx context.Context) {
	l, err := net.Listen("tcp", s.o.Config.HTTP.Listen)
	if err != nil {
		s.o.Logger.Error("cannot serve the page that says that the gateway stands still", "error", err)
		<-ctx.Done()
		return
	}
	certificate, err := loadCertificate(s.o.Config.TLS, s.o.Logger)
	if err != nil {
		s.o.Logger.Error("the page that says that the gateway stands still is served without TLS", "error", err)
	} else if certificate != nil {
		l = tls.NewListener(l, certificate.config())
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug)}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); ctx.Err() == nil {
		s.o.Logger.Error("the page that says that the gateway stands still is not served", "error", err)
		<-ctx.Done()
	}
}

func (s *stopped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	head.Set("Retry-After", "5")
	switch path := r.URL.Path; {
	case path == "/healthz":
		s.json(w, http.StatusOK, map[string]string{"status": "up"})
	case path == "/readyz", path == "/metrics", strings.HasPrefix(path, "/api/"):
		s.json(w, http.StatusServiceUnavailable, map[string]map[string]string{"error": {"code": "stopped", "message": s.message()}})
	default:
		head.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = stoppedPage.Execute(w, map[string]string{ // who does not listen need not be told
			"ZH": s.fault.zh, "EN": s.fault.en, "RemedyZH": s.fault.remedyZH, "Remedy": s.fault.remedy,
			"Since": s.since.Format("2006-01-02 15:04:05"), "Free": inUnits(s.free.Load()),
		})
	}
}

func (s *stopped) message() string {
	return fmt.Sprintf("%s，网关已停止接收和判级（自 %s）：%s · %s, the gateway neither takes nor judges messages: %s",
		s.fault.zh, s.since.Format(time.DateTime), s.fault.remedyZH, s.fault.en, s.fault.remedy)
}

func (s *stopped) json(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

var stoppedPage = template.Must(template.New("stopped").Parse(`<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>⚠ 监测中断 · Monitoring stopped</title>
<style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #1a1a1a; color: #fff; font: 18px/1.6 system-ui, "Noto Sans CJK SC", sans-serif; }
main { max-width: 44em; padding: 2em; border-left: 8px solid #ffb000; }
h1 { font-size: 2em; margin: 0 0 .5em; color: #ffb000; } h2 { font-size: 1em; font-weight: normal; color: #ccc; margin: 0 0 1.5em; }
dt { color: #aaa; font-size: .85em; } dd { margin: 0 0 1em; }
</style></head><body><main>
<h1>⚠ 监测中断：{{.ZH}}</h1>
<h2>Monitoring has stopped: {{.EN}}</h2>
<p>网关不接收、不判级，也不会报警。在恢复之前请按本单位处置方案改用人工值守。<br>
The gateway takes nothing, judges nothing and raises no alarm. Until it is back, watch by hand as your site's own plan says.</p>
<dl>
<dt>自 · since</dt><dd>{{.Since}}</dd>
<dt>数据盘剩余 · left on the data disk</dt><dd>{{.Free}}</dd>
<dt>怎么办 · what to do</dt><dd>{{.RemedyZH}}<br>{{.Remedy}}</dd>
</dl>
<p>已确认的消息都在盘上；设备端未确认的消息由设备保留。磁盘恢复后网关自动继续，本页自动刷新。<br>
Everything acknowledged is on disk; devices keep what was not. The gateway goes on by itself once the disk is well; this page reloads by itself.</p>
</main></body></html>
`))
