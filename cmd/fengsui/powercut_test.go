package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var powercutRounds = flag.Int("powercut.rounds", 10, "how often TestPowerCut cuts the power")

// TestPowerCut runs the gateway on a disk that forgets at a power cut what was
// not flushed, save some pages of it, at random: kill -9 alone proves nothing
// about syncs, since the page cache survives it. Devices publish at QoS 1
// meanwhile. Whatever was acknowledged must be in the input log, and the alarm
// log must tell exactly the story a plain reference tells.
func TestPowerCut(t *testing.T) {
	needDisks(t)
	const count = 6
	var lines []string
	for i := range count {
		lines = append(lines, fmt.Sprintf("id: d%02d, kind: combustible_gas, state: in_service", i))
	}
	g := newGateway(t, siteYAML(t, "s", "pw", lines...), "rules: rules\n")
	g.write("rules/crossing.yaml", crashRules)
	data := filepath.Join(g.dir, "data")
	image := newImage(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	senders := make([]*sender, count)
	var sending sync.WaitGroup
	for i := range senders {
		senders[i] = newSender(fmt.Sprintf("d%02d", i), uint64(i))
		sending.Go(func() { senders[i].run(ctx, g.mqtt) })
	}
	defer sending.Wait()
	defer cancel()
	forgotten := 0
	for range *powercutRounds {
		d := image.mount(data)
		g.start()
		time.Sleep(time.Duration(100+rand.IntN(500)) * time.Millisecond)
		d.freeze()
		g.cmd.Process.Kill()
		d.fail() // what waits for the disk ends now
		<-g.ended
		g.cmd = nil
		forgotten += d.cut(rand.IntN(3) * 40)
	}
	d := image.mount(data)
	g.start()
	cancel()
	sending.Wait()
	g.balanced()
	g.stop()
	messages, events := readLogs(t, data)
	d.cut(0)

	total := 0
	for _, s := range senders {
		total += s.acked
	}
	t.Logf("%d power cuts, %d messages acknowledged, %d pages forgotten", *powercutRounds, total, forgotten)
	if total < 20*count**powercutRounds {
		t.Fatal("so few show nothing")
	}
	checkStories(t, events, senders, checkInputLog(t, messages, senders))
}

// The disk of TestPowerCut forgets what was not synced, and nothing else.
func TestDiskForgets(t *testing.T) {
	needDisks(t)
	image, at := newImage(t), t.TempDir()
	kept, lost := filepath.Join(at, "kept"), filepath.Join(at, "lost")
	d := image.mount(at)
	if err := errors.Join(writeSynced(kept, []byte("synced")), syncFolder(at), os.WriteFile(lost, []byte("not synced"), 0o600)); err != nil {
		t.Fatal(err)
	}
	d.cut(0)
	d = image.mount(at)
	if got, err := os.ReadFile(kept); string(got) != "synced" {
		t.Errorf("what was synced came back as %q, %v", got, err)
	}
	if got, err := os.ReadFile(lost); err == nil && len(got) > 0 {
		t.Errorf("what was not synced came back as %q", got)
	}
	d.cut(0)
}

// needDisks skips where there can be no disk of our own making: it takes root,
// FUSE and loop devices, and the programs that go with them. Where the real parts
// are wanted (FENGSUI_REAL=1) it fails, unless whoever wants them has said that this
// machine cannot have such a disk, as .ci/run does in a container without devices.
func needDisks(t *testing.T) {
	t.Helper()
	var missing []string
	if os.Getuid() != 0 {
		missing = append(missing, "only root may mount a disk")
	}
	for _, device := range []string{"/dev/fuse", "/dev/loop-control"} {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		f.Close()
	}
	for program, in := range map[string]string{"mkfs.ext4": "e2fsprogs", "losetup": "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("there is no %s, which the Debian package %s has", program, in))
		}
	}
	if len(missing) == 0 {
		return
	}
	why := "a power cut needs a disk of its own: " + strings.Join(missing, "; ")
	if os.Getenv("FENGSUI_REAL") == "1" && os.Getenv("FENGSUI_NO_DISK") == "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
