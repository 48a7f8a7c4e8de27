package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child whose cost is measured from outside, in /proc.
type process struct {
	name   string
	cmd    *exec.Cmd
	output *tail
	ended  chan struct{} // closed when it is gone
	err    error         // of its end, once ended is closed
}

// start runs a child that ends with this process at the latest.
func start(name string, cmd *exec.Cmd) (*process, error) { return startWith(name, cmd, nil) }

// startWith lets somebody else read the child's log too.
func startWith(name string, cmd *exec.Cmd, log io.Writer) (*process, error) {
	p := &process{name: name, cmd: cmd, output: &tail{}, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.output
	}
	cmd.Stderr = p.output
	if log != nil {
		cmd.Stderr = io.MultiWriter(p.output, log)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the child to end and waits for it; one that does not listen is killed.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// kill ends the child as a power cut would.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// died describes an end that nobody asked for.
func (p *process) died() error {
	return fmt.Errorf("%s ended by itself (%v); its last words:\n%s", p.name, p.err, p.output)
}

// until tries something again and again until it succeeds, the child dies or
// time is up.
func (p *process) until(ctx context.Context, what string, try func() error) error {
	var last error
	for {
		if last = try(); last == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.died()
		case <-ctx.Done():
			return fmt.Errorf("%s: %s: %w (%w)", p.name, what, ctx.Err(), last)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// cpu is the processor time the child has used, to the kernel's 10 ms.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
	}
	return parseCPU(stat)
}

// clockTick is the unit of times in /proc/PID/stat on Linux.
const clockTick = 10 * time.Millisecond

// parseCPU adds utime and stime, the 14th and 15th word of /proc/PID/stat. The
// second word, the name, may contain anything and ends at the last parenthesis.
func parseCPU(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	words := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(words) < 13 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	user, err1 := strconv.ParseInt(words[11], 10, 64)
	system, err2 := strconv.ParseInt(words[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// memory is the resident set now and at its highest, in bytes.
func (p *process) memory() (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory of %s: %w", p.name, err)
	}
	now, err1 := parseKB(status, "VmRSS:")
	peak, err2 := parseKB(status, "VmHWM:")
	return now, peak, errors.Join(err1, err2)
}

func parseKB(status []byte, key string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/PID/status", key)
}

// tail remembers the last output of a child, for when it goes wrong.
type tail struct{ text []byte }

// Write is called by one goroutine of os/exec; the text is read after the end.
func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if excess := len(t.text) - 4096; excess > 0 {
		t.text = append(t.text[:0], t.text[excess:]...)
	}
	return len(b), nil
}

func (t *tail) String() string { return string(t.text) }
