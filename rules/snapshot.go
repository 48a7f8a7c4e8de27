package rules

import (
	"encoding/binary"
	"errors"
	"math"

	"fengsui/devices"
)

// snapshotVersion begins every snapshot. One of another version is refused; the
// input log has it all.
const snapshotVersion = "FSR6"

// ErrSnapshot says that a snapshot is damaged or of another version.
var ErrSnapshot = errors.New("not a snapshot of this version of the rules")

// Snapshot writes down what cannot be told from the registry and the rules: what
// every point has seen lately, who was heard when, which sources are up. Timers
// and levels follow from that.
func (e *Engine) Snapshot() ([]byte, error) {
	w := &writer{text: make([]byte, 0, e.written+e.written/8), names: make(map[string]uint64, len(e.devices))}
	w.text = append(w.text, snapshotVersion...)
	w.int(e.now)
	w.int(e.before)
	sources := e.sourcesByName()
	index := map[*source]uint64{&e.any: 0}
	w.source(&e.any)
	w.uint(uint64(len(sources)))
	for i, s := range sources {
		index[s] = uint64(i + 1)
		w.source(s)
	}
	w.uint(uint64(len(e.troubles)))
	for _, name := range e.troublesByName() {
		w.name(name)
		w.uint(uint64(e.troubles[name].level))
		w.name(e.troubles[name].reason)
	}
	w.uint(uint64(len(e.sites)))
	for _, s := range e.sites {
		w.name(s.ID)
		w.bool(s.silent)
		w.int(s.unfold)
	}
	w.uint(uint64(len(e.devices)))
	for _, d := range e.devices {
		w.device(d, index[d.presence.source])
	}
	e.written = len(w.text)
	return w.text, nil
}

// Restore continues from a snapshot, which may be of another registry and of
// other rules: what is gone is dropped, what is new starts fresh, and what
// changed is judged on the values held. Compare Levels with what is on record
// afterwards: nothing is told here.
func (e *Engine) Restore(data []byte) error {
	r := &reader{text: data}
	if string(r.bytes(len(snapshotVersion))) != snapshotVersion {
		return ErrSnapshot
	}
	n := &Engine{builtin: e.builtin, sources: map[string]*source{}}
	n.now, n.before = r.int(), r.int()
	r.source(&n.any)
	sources := []*source{&e.any}
	for range r.count() {
		s := new(source)
		r.source(s)
		n.sources[s.name] = s
		sources = append(sources, s)
	}
	troubles := map[string]trouble{}
	for range r.count() {
		name := r.name()
		troubles[name] = trouble{Level(r.uint()), r.name()}
	}
	var sites []*site
	for range r.count() {
		sites = append(sites, &site{Site: &devices.Site{ID: r.name()}, silent: r.bool(), unfold: r.int()})
	}
	old := map[string]*device{}
	for range r.count() {
		key, d := r.device(sources)
		old[key] = d
	}
	if r.failed || len(r.text) > 0 {
		return ErrSnapshot
	}
	e.now, e.before, e.any, e.sources, e.troubles = n.now, n.before, n.any, n.sources, troubles
	e.arm(e.options, old)
	e.keepSites(sites, nil)
	for _, d := range e.devices {
		for _, p := range d.points {
			for _, w := range p.watches {
				w.told = w.live.shown()
			}
		}
	}
	return nil
}

func (w *writer) source(s *source) {
	w.name(s.name)
	w.bool(s.up)
	w.int(s.since)
	w.int(s.ran)
	w.int(s.resumed)
	w.bool(s.lost)
	w.name(s.reason)
}

func (r *reader) source(s *source) {
	s.name, s.up = r.name(), r.bool()
	s.since, s.ran, s.resumed = r.int(), r.int(), r.int()
	s.lost, s.reason = r.bool(), r.name()
}

func (w *writer) device(d *device, source uint64) {
	w.name(d.Key())
	w.name(string(d.State))
	w.uint(source)
	w.int(d.presence.heard)
	w.int(d.presence.offline)
	w.bool(d.presence.silent)
	w.bool(d.presence.folded)
	w.bool(d.clock != nil)
	if d.clock != nil {
		w.sample(d.clock, &sample{})
	}
	w.uint(uint64(len(d.points)))
	for _, p := range d.points {
		w.point(p)
	}
}

func (r *reader) device(sources []*source) (string, *device) {
	d := &device{Device: &devices.Device{}}
	key := r.name()
	d.State = devices.State(r.name())
	if i := r.uint(); i < uint64(len(sources)) {
		d.presence.source = sources[i]
	} else {
		r.failed = true
	}
	d.presence.heard, d.presence.offline = r.int(), r.int()
	d.presence.silent, d.presence.folded = r.bool(), r.bool()
	if r.bool() {
		d.clock = new(sample)
		r.sample(d.clock, &sample{})
	}
	for range r.count() {
		d.points = append(d.points, r.point())
	}
	return key, d
}

func (w *writer) point(p *point) {
	w.name(p.field.Name)
	w.bool(p.trigger != nil)
	w.int(p.folded)
	w.uint(uint64(len(p.tail)))
	var last sample
	for i := range p.tail {
		w.sample(&p.tail[i], &last)
		last = p.tail[i]
	}
	w.jumps(p.jumps, &last)
	w.uint(uint64(len(p.watches)))
	for _, x := range p.watches {
		w.name(x.rule.ID)
		w.uint(x.print)
		w.state(&x.base, &last)
		w.int(x.live.at - last.time)
	}
}

func (r *reader) point() *point {
	p := &point{field: &devices.Field{Name: r.name()}}
	if r.bool() {
		p.trigger = &devices.Field{}
	}
	p.folded = r.int()
	var last sample
	for range r.count() {
		before := last.time
		r.sample(&last, &last)
		if len(p.tail) > 0 && last.time < before {
			r.failed = true // they are kept in the order of their time
		}
		p.tail = append(p.tail, last)
	}
	p.jumps = r.jumps(&last)
	for range r.count() {
		x := &watch{rule: &Rule{ID: r.name()}, print: r.uint()}
		r.state(&x.base, &last)
		x.live.at = r.int() + last.time
		p.watches = append(p.watches, x)
	}
	if p.trigger != nil && len(p.watches) == 0 {
		r.failed = true
	}
	return p
}

// jumps writes the trail; how far a value may jump stands in the kind.
func (w *writer) jumps(j *jumps, to *sample) {
	if j == nil {
		j = &jumps{}
	}
	w.uint(uint64(len(j.trail)))
	for i := range j.trail {
		w.sample(&j.trail[i], to)
	}
}

func (r *reader) jumps(to *sample) *jumps {
	j := new(jumps)
	for range r.count() {
		var x sample
		r.sample(&x, to)
		j.trail = append(j.trail, x)
	}
	if len(j.trail) > trailMost {
		r.failed = true
	}
	return j
}

// sample writes x as its difference to another.
func (w *writer) sample(x, to *sample) {
	same := math.Float64bits(x.number) == math.Float64bits(to.number)
	w.text = append(w.text, byte(x.flags))
	w.bool(same)
	if !same {
		w.float(x.number)
	}
	w.int(x.time - to.time)
	w.int(x.received - x.time)
	w.uint(uint64(x.seq))
}

func (r *reader) sample(x, to *sample) {
	n := sample{flags: sampleFlags(r.byte()), number: to.number}
	if !r.bool() {
		n.number = r.float()
	}
	n.time = to.time + r.int()
	n.received = n.time + r.int()
	n.seq = uint32(r.uint())
	*x = n
}

// state leaves out what a state without a level and without a wait does not need.
func (w *writer) state(s *state, to *sample) {
	idle := s.level == Normal && s.due == never
	u := s.unrest
	if u == nil {
		u = &w.nothing
	}
	w.bool(idle)
	w.int(s.at)
	w.text = append(w.text, s.beyond, s.better, s.run)
	w.text = append(w.text, s.votes[:]...)
	w.sample(&u.last, to)
	w.bool(u.window != nil)
	if u.window != nil {
		w.window(u.window)
	}
	if idle {
		return
	}
	w.int(s.due)
	w.text = append(w.text, s.on, byte(s.level))
	w.bool(s.doubt)
	w.float(s.limit)
	for _, t := range s.since {
		w.int(t)
	}
	w.sample(&s.cause, to)
}

func (r *reader) state(s *state, to *sample) {
	*s = fresh()
	s.wake()
	idle := r.bool()
	s.at = r.int()
	s.beyond, s.better, s.run = r.byte(), r.byte(), r.byte()
	copy(s.votes[:], r.bytes(len(s.votes)))
	r.sample(&s.last, to)
	if r.bool() {
		s.window = r.window()
	}
	if idle {
		if s.last == (sample{}) && s.window == nil {
			s.rest()
		}
		return
	}
	s.due = r.int()
	s.on, s.level = r.byte(), Level(r.byte())
	s.doubt, s.limit = r.bool(), r.float()
	for i := range s.since {
		s.since[i] = r.int()
	}
	r.sample(&s.cause, to)
	if s.level > Fault || s.on >= 1<<maxSteps {
		r.failed = true
	}
}

func (w *writer) window(x *window) {
	w.name(string(x.quantity))
	w.int(x.over)
	w.bool(x.counts)
	w.float(x.counter)
	w.uint(uint64(len(x.slots)))
	var before slot
	for _, s := range x.slots {
		w.int(s.time - before.time)
		w.float(s.number)
		w.int(s.behind)
		w.int(s.n)
		before = s
	}
}

func (r *reader) window() *window {
	x := &window{quantity: Quantity(r.name()), over: r.int(), counts: r.bool(), counter: r.float()}
	var before slot
	for range r.count() {
		s := slot{time: before.time + r.int(), number: r.float(), behind: r.int(), n: r.int()}
		if s.n <= 0 {
			r.failed = true
		}
		x.slots = append(x.slots, s)
		before = s
	}
	if len(x.slots) > sumSlots+1 || x.over < minOver.Milliseconds() {
		r.failed = true
	}
	return x
}

// writer appends numbers in as few bytes as they need; a name is written out
// once and named by its number from then on.
type writer struct {
	text    []byte
	names   map[string]uint64
	nothing unrest // what a state at rest remembers
}

func (w *writer) uint(n uint64) { w.text = binary.AppendUvarint(w.text, n) }
func (w *writer) int(n int64)   { w.text = binary.AppendVarint(w.text, n) }
func (w *writer) float(n float64) {
	w.text = binary.LittleEndian.AppendUint64(w.text, math.Float64bits(n))
}

func (w *writer) bool(b bool) {
	n := byte(0)
	if b {
		n = 1
	}
	w.text = append(w.text, n)
}

func (w *writer) name(s string) {
	if n, ok := w.names[s]; ok {
		w.uint(n)
		return
	}
	w.names[s] = uint64(len(w.names) + 1)
	w.uint(0)
	w.uint(uint64(len(s)))
	w.text = append(w.text, s...)
}

// reader reads what writer wrote. After something that cannot be it has failed
// and gives zeros.
type reader struct {
	text   []byte
	names  []string
	failed bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.text) {
		r.failed, r.text = true, nil
		return nil
	}
	b := r.text[:n]
	r.text = r.text[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool { return r.byte() != 0 }

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.text)
	if size <= 0 {
		r.failed, r.text = true, nil
		return 0
	}
	r.text = r.text[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.text)
	if size <= 0 {
		r.failed, r.text = true, nil
		return 0
	}
	r.text = r.text[size:]
	return n
}

func (r *reader) float() float64 {
	if b := r.bytes(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// count reads how many things follow, each of at least one byte.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.text)) {
		r.failed, r.text = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.uint()
	if n == 0 {
		s := string(r.bytes(r.count()))
		r.names = append(r.names, s)
		return s
	}
	if n > uint64(len(r.names)) {
		r.failed = true
		return ""
	}
	return r.names[n-1]
}
