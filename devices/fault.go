package devices

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
)

// faults are those of our own that messages brought to light. A message is in
// the log before it is read: what trips the gateway once would trip it at every
// start. So such a message is quarantined, like any other that cannot be used;
// the samples of one device never cost another's. What was half read or half
// accepted of it is dropped, so that a replay comes to the same.
type faults struct {
	logger *slog.Logger
	mu     sync.Mutex
	told   map[string]bool // by format: a device that goes on sending must not fill the log
}

// decodeFault makes a refused message of one that tripped its decoder.
func (i *Intake) decodeFault(d *Decoded) {
	if p := recover(); p != nil {
		i.refuse(d, p)
	}
}

// acceptFault takes back what the outcome got of a message that tripped the
// intake. What is held of its devices and client is forgotten, since it may be
// half of the truth: a sample that counts as seen though nobody got it would be
// lost for good, and one that is taken twice is not.
func (i *Intake) acceptFault(d *Decoded, out *Outcome, before *Outcome, v *Verdict) {
	p := recover()
	if p == nil {
		return
	}
	for _, x := range d.samples {
		i.devices[x.device.index] = deviceMemory{}
	}
	delete(i.clients, clientPrint(&d.in))
	*out = *before
	i.refuse(d, p)
	*v = i.accept(d, out)
}

// refuse puts a message into quarantine for the fault it brought to light.
func (i *Intake) refuse(d *Decoded, fault any) {
	format := i.formatOf(d)
	*d = Decoded{in: d.in, registry: d.registry, device: d.device}
	if d.device != nil && isHouse(d.in.Topic) {
		d.speakers = append(d.speakers, d.device)
	}
	d.reject(CodeGatewayFault, "", fmt.Sprintf("the gateway itself tripped over the message: %s", clip(fmt.Sprint(fault))),
		"the message is kept: report it with its payload, and replay it after an update")
	i.faults.tell(format, &d.in, fault)
}

// formatOf says for people how a message is read.
func (i *Intake) formatOf(d *Decoded) string {
	if route, _ := i.routes.find(d.in.Source, d.in.Topic, nil); route != nil && !isHouse(d.in.Topic) {
		return route.Name
	}
	if d.device != nil {
		return "house, " + d.device.Kind.ID
	}
	return "house"
}

// tell logs the first fault of a format, with what is needed to mend it.
func (f *faults) tell(format string, in *Incoming, fault any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told[format] || f.logger == nil {
		return
	}
	if f.told == nil {
		f.told = map[string]bool{}
	}
	f.told[format] = true
	f.logger.Error("the gateway tripped over a message and put it into quarantine; further ones of this format are only counted",
		"format", format, "input", in.Position, "index", in.Index, "topic", in.Topic, "fault", fault, "stack", string(debug.Stack()))
}
