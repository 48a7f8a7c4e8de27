package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// smallDisk gives the gateway a data folder on a disk of that size.
func (g *gateway) smallDisk(size string) {
	g.t.Helper()
	data := g.data()
	if err := os.MkdirAll(data, 0o755); err != nil {
		g.t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size="+size)
	needReal(g.t, err == nil, fmt.Sprintf("the right to mount a small file system (%v)", err))
	g.t.Cleanup(func() {
		g.kill()
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			g.t.Errorf("unmount: %v", err)
		}
	})
}

func (g *gateway) data() string { return filepath.Join(g.dir, "data") }

// ballast is a file of somebody else's that leaves that many bytes of the disk.
func (g *gateway) ballast(leave int64) {
	g.t.Helper()
	f, err := os.Create(filepath.Join(g.data(), "ballast"))
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		if free, _ := diskSpace(g.data()); free <= leave {
			return
		}
		switch _, err := f.Write(block); {
		case errors.Is(err, syscall.ENOSPC) && leave == 0:
			return
		case err != nil:
			g.t.Fatal(err)
		}
	}
}

func (g *gateway) dropBallast() {
	g.t.Helper()
	if err := os.Remove(filepath.Join(g.data(), "ballast")); err != nil {
		g.t.Fatal(err)
	}
}

// publishNumbered publishes the messages from to to-1 and waits for their
// acknowledgements.
func publishNumbered(t *testing.T, c mqtt.Client, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		token := c.Publish("v1/s/d/telemetry", 1, false, fmt.Sprintf(`{"seq":%d,"values":{"gas_lel_pct":0.5}}`, i+1))
		if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("message %d was not acknowledged: %v", i+1, token.Error())
		}
	}
}

// disk is what the health frame says of it.
func (g *gateway) disk() (level string) {
	g.t.Helper()
	var page struct {
		Frames []struct {
			H *struct {
				Disk struct {
					Level string `json:"level"`
					Free  int64  `json:"free_bytes"`
					Size  int64  `json:"size_bytes"`
				} `json:"disk"`
			} `json:"h"`
		} `json:"frames"`
	}
	g.get("/api/v1/events?wait=0", &page)
	for _, f := range page.Frames {
		if f.H != nil {
			if f.H.Disk.Size <= 0 || f.H.Disk.Free > f.H.Disk.Size {
				g.t.Errorf("the health frame says %+v of the disk", f.H.Disk)
			}
			return f.H.Disk.Level
		}
	}
	return ""
}

func (g *gateway) waitDisk(level string) {
	g.t.Helper()
	g.eventually("the disk's level is "+level, func() error {
		if now := g.disk(); now != level {
			return errors.New(now)
		}
		return nil
	})
}

const oneGasDetector = "id: d, kind: combustible_gas, state: in_service"

// TestFloor lets somebody else fill the disk down to the floor. The intake
// refuses and loses nothing; alarms, commands, canary and console go on; nobody
// is called silent; and it goes on by itself.
func TestFloor(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", oneGasDetector), "disk: {floor_bytes: 0}\n")
	g.smallDisk("64m")
	g.start()
	c := connect(t, g.mqtt, "d", "s", "pw")
	publishNumbered(t, c, 0, 50)
	isDisk := func(level rules.Level) func(a *alarms.Alarm) bool {
		return func(a *alarms.Alarm) bool {
			return a.Rule == "gateway_trouble" && a.Device == "disk" && a.Level == level
		}
	}

	for _, s := range []struct {
		free  int64
		level string
		alarm rules.Level
	}{{15e6, "warn70", rules.Yellow}, {6e6, "warn90", rules.Orange}, {4e6, "floor", rules.Red}} {
		g.ballast(s.free)
		g.waitDisk(s.level)
		g.waitAlarm("the alarm for "+s.level, isDisk(s.alarm))
	}
	if g.metric("fengsui_intake_paused") != 1 || g.metric("fengsui_disk_free_bytes") > g.metric("fengsui_disk_floor_bytes") {
		t.Error("the metrics do not say that the intake is paused")
	}
	kept := g.metric("fengsui_messages_kept_total")
	waiting := c.Publish("v1/s/d/telemetry", 1, false, `{"seq":51,"values":{"gas_lel_pct":0.5}}`)
	red := g.waitAlarm("the red alarm", isDisk(rules.Red))
	var answer struct{ Seq uint64 }
	if _, err := g.request("POST", "/api/v1/alarms/"+red.ID+"/ack", map[string]string{}, &answer); err != nil || answer.Seq == 0 {
		t.Errorf("at the floor a command is answered %v", err)
	}
	for range 3 { // the canary walks on
		seen := g.canaryTime()
		g.eventually("another canary", func() error {
			if g.canaryTime() == seen {
				return errors.New("none")
			}
			return nil
		})
	}
	select {
	case <-waiting.Done():
		t.Errorf("a message was acknowledged at the floor: %v", waiting.Error())
	default:
	}
	if now := g.metric("fengsui_messages_kept_total"); now != kept {
		t.Errorf("%v messages were kept at the floor", now-kept)
	}

	g.dropBallast()
	if !waiting.WaitTimeout(30*time.Second) || waiting.Error() != nil {
		t.Fatalf("the message that waited was not acknowledged: %v", waiting.Error())
	}
	publishNumbered(t, c, 51, 100)
	g.waitDisk("ok")
	g.waitAlarm("the end of the alarm", func(a *alarms.Alarm) bool { return a.ID == red.ID && a.ClearedTime != 0 })
	g.balanced()
	if n := g.metric("fengsui_messages_accepted_total"); n != 100 {
		t.Errorf("%v messages accepted, want 100", n)
	}
	if list := g.alarms("all"); len(list) != 1 {
		t.Errorf("there are %d alarms, want that of the disk only: %+v", len(list), list)
	}
}

// fetch asks the gateway without any right.
func (g *gateway) fetch(path string) (status int, body string, err error) {
	resp, err := http.Get("http://" + g.http + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// waitStopped waits for the page that says that the gateway stands still.
func (g *gateway) waitStopped(reason string) {
	g.t.Helper()
	g.eventually("the gateway says that it stands still", func() error {
		status, body, err := g.fetch("/")
		if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "监测中断："+reason) {
			return fmt.Errorf("%d %v %s", status, err, body)
		}
		return nil
	})
}

// TestFullDisk fills the disk to the last byte with somebody else's file. The
// gateway acknowledges nothing, says why, stays up, and goes on by itself with
// everything it acknowledged.
func TestFullDisk(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", oneGasDetector), "")
	g.smallDisk("64m")
	g.start()
	c := connect(t, g.mqtt, "d", "s", "pw")
	publishNumbered(t, c, 0, 50)
	pub(t, g.mqtt, "v1/s/d/telemetry", `{"seq":51,"values":{"gas_lel_pct":70}}`, "-u", "s", "-P", "pw", "-q", "1")
	gas := g.waitAlarm("the gas alarm", func(a *alarms.Alarm) bool { return a.Device == "d" })
	screen := g.screen()
	g.balanced()

	g.ballast(0)
	g.waitStopped("数据盘已满")
	if err := screen.closed(); err != nil {
		t.Errorf("the screen is not told: %v", err)
	}
	for path, want := range map[string]int{"/readyz": 503, "/healthz": 200, "/metrics": 503, "/api/v1/stream": 503, "/api/v1/alarms": 503} {
		status, body, err := g.fetch(path)
		if err != nil || status != want || !json.Valid([]byte(body)) || want == 503 && !strings.Contains(body, `"code":"stopped"`) {
			t.Errorf("%s answers %d %v %s", path, status, err, body)
		}
	}
	if _, err := g.request("POST", "/api/v1/alarms/"+gas.ID+"/ack", map[string]string{}, nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a command is answered %v", err)
	}
	if conn, err := net.Dial("tcp", g.mqtt); err == nil {
		conn.Close()
		t.Error("devices can still connect")
	}

	g.dropBallast()
	g.waitReady()
	c = connect(t, g.mqtt, "again", "s", "pw")
	publishNumbered(t, c, 51, 100)
	g.balanced()
	if n := g.metric("fengsui_messages_accepted_total"); n != 100 {
		t.Errorf("%v messages accepted, want 100", n)
	}
	g.eventually("only the gas alarm stands", func() error {
		for _, a := range g.alarms("active") {
			if a.ID != gas.ID && a.State != alarms.ClearedUnacked {
				return fmt.Errorf("%+v", a)
			}
		}
		return nil
	})
}

// closed reads the stream to its end.
func (s *screen) closed() error {
	s.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		if _, _, err := s.conn.ReadMessage(); err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				return err
			}
			return nil
		}
	}
}

// TestDiskThatFails answers every write with an I/O error, as a dying disk does.
// What was acknowledged is there when another takes its place.
func TestDiskThatFails(t *testing.T) {
	needDisks(t)
	g := newGateway(t, siteYAML(t, "s", "pw", oneGasDetector), "")
	image := newImage(t)
	dying := image.mount(g.data())
	t.Cleanup(g.kill) // before the disk goes
	g.start()
	c := connect(t, g.mqtt, "d", "s", "pw")
	publishNumbered(t, c, 0, 50)

	dying.freeze()
	dying.fail()
	g.waitStopped("数据盘")
	if _, body, err := g.fetch("/readyz"); err != nil || !strings.Contains(body, "dmesg") {
		t.Errorf("/readyz says %v %s", err, body)
	}
	dying.cut(0)
	// Without its disk the folder is empty and takes writes: that is not it.
	g.eventually("the gateway does not begin with an empty folder", func() error {
		if !strings.Contains(g.output.String(), "is its disk mounted?") {
			return errors.New("not looked at yet")
		}
		return nil
	})
	healthy := image.mount(g.data())
	t.Cleanup(func() { g.kill(); healthy.cut(0) })
	g.waitReady()
	publishNumbered(t, connect(t, g.mqtt, "again", "s", "pw"), 50, 100)
	g.balanced()
	if n := g.metric("fengsui_messages_accepted_total"); n != 100 {
		t.Errorf("%v messages accepted, want 100", n)
	}
}

// TestReadOnlyDisk starts on a disk that the system has made read-only, as it
// does after an error.
func TestReadOnlyDisk(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", oneGasDetector), "")
	g.smallDisk("64m")
	g.start()
	c := connect(t, g.mqtt, "d", "s", "pw")
	publishNumbered(t, c, 0, 10)
	g.kill()
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", g.data(), "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	g.launch()
	g.waitStopped("数据盘为只读")
	if out := g.output.String(); !strings.Contains(out, "read-only file system") {
		t.Errorf("its log does not say why: %s", out)
	}
	remount(0)
	g.waitReady()
	publishNumbered(t, connect(t, g.mqtt, "again", "s", "pw"), 10, 20)
	g.balanced()
	if n := g.metric("fengsui_messages_accepted_total"); n != 20 {
		t.Errorf("%v messages accepted, want 20", n)
	}
}

func TestWhatIsTheDisksDoing(t *testing.T) {
	folder := t.TempDir()
	for _, tt := range []struct {
		err  error
		want string // of the page; empty: it is not the disk's doing
	}{
		{fmt.Errorf("append: %w", journal.ErrDisk), "the data disk does not take writes"},
		{fmt.Errorf("judge: %w", &os.PathError{Op: "write", Path: "snapshot", Err: syscall.EIO}), "the data disk does not take writes"},
		{errors.New("start embedded log server: write x: no space left on device"), "the data disk is full"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "the data disk is read-only"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, ""},
		{errors.New("listen: address in use"), ""},
		{journal.ErrLocked, ""},
	} {
		if got := diskFault(folder, tt.err); got != (tt.want != "") {
			t.Errorf("%v: the disk's doing: %v", tt.err, got)
		}
		if tt.want != "" && faultOf(tt.err).en != tt.want {
			t.Errorf("%v: the page says %q", tt.err, faultOf(tt.err).en)
		}
	}
	if diskFault(filepath.Join(folder, "gone"), errors.New("anything")) {
		t.Error("a folder that cannot be made is the operator's doing")
	}
	if err := os.MkdirAll(filepath.Join(folder, "jetstream"), 0o700); err != nil {
		t.Fatal(err)
	}
	if diskFault(folder, errors.New("anything")) {
		t.Error("a disk that takes writes is at no fault")
	}
	if err := os.Mkdir(filepath.Join(folder, ".probe"), 0o700); err != nil {
		t.Fatal(err)
	}
	if !diskFault(folder, errors.New("anything")) {
		t.Error("a folder that was used and takes no file is the disk's doing")
	}
}
