package devices

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/devices/codec"
)

// Explanation is what a message becomes and why, for people.
type Explanation struct {
	Topic      string            `json:"topic"`
	Format     string            `json:"format"` // house, or the route
	Routes     []RouteTried      `json:"routes,omitempty"`
	Mended     string            `json:"mended,omitempty"` // what had to be repaired in the payload
	Class      string            `json:"class"`
	Status     string            `json:"status,omitempty"` // online or offline
	Samples    []ExplainedSample `json:"samples,omitempty"`
	Ignored    []codec.Leaf      `json:"ignored,omitempty"` // stands in the payload, and nothing reads it
	Rejections []Rejection       `json:"rejections,omitempty"`
	Text       string            `json:"text"` // the payload as it can be read; Rejection.Byte counts in it
}

// RouteTried is one route and why it does or does not take the message.
type RouteTried struct {
	Route  string `json:"route"`
	Topic  string `json:"topic"`
	Taken  bool   `json:"taken"`
	Reason string `json:"reason"`
}

// ExplainedSample is one moment of one device.
type ExplainedSample struct {
	Device string           `json:"device"`
	Kind   string           `json:"kind"`
	Name   Text             `json:"name"` // of the kind
	Said   *time.Time       `json:"said,omitempty"`
	Used   time.Time        `json:"used"`
	Flags  []string         `json:"flags,omitempty"`
	Values []ExplainedValue `json:"values"`
}

// ExplainedValue is one field.
type ExplainedValue struct {
	Field   string  `json:"field"`
	Title   Text    `json:"title"`
	Number  float64 `json:"number"`
	Unit    string  `json:"unit"`
	Says    *Text   `json:"says,omitempty"` // of a state
	Quality string  `json:"quality"`
	Over    bool    `json:"over,omitempty"`
}

// Explain reads a message as if it were the first, and tells what becomes of it.
// Nothing of it is remembered.
func Explain(registry *Registry, routes *Routes, in Incoming) *Explanation {
	intake := NewIntake(IntakeOptions{Registry: registry, Routes: routes})
	var d Decoded
	var out Outcome
	intake.Decode(in, &d)
	v := intake.Accept(&d, &out)
	e := &Explanation{Topic: in.Topic, Format: "house", Class: v.Class.String(), Rejections: v.Rejections, Text: string(codec.Readable(in.Payload))}
	switch v.Presence {
	case Online:
		e.Status = "online"
	case Offline:
		e.Status = "offline"
	}
	route, _ := routes.find(in.Source, in.Topic, nil)
	if isHouse(in.Topic) {
		route = nil
	} else {
		e.Format = "none"
		e.try(routes, route, &in)
	}
	if route != nil {
		e.Format = route.Name
	}
	e.samples(&d, v.Readings)
	e.unread(route, &in)
	e.point()
	return e
}

// point finds the places of what was refused by its name only.
func (e *Explanation) point() {
	for i := range e.Rejections {
		r := &e.Rejections[i]
		if r.Byte == 0 && r.Field != "" {
			r.Byte = strings.Index(e.Text, strconv.Quote(r.Field)) + 1
		}
	}
}

// try says of every route why it takes the message or not.
func (e *Explanation) try(routes *Routes, taken *Route, in *Incoming) {
	for _, r := range routes.All() {
		t := RouteTried{Route: r.Name, Topic: r.Topic, Taken: r == taken, Reason: "the topic fits"}
		switch {
		case !r.takes(in.Source):
			t.Reason = "is only for messages of " + strings.Join(r.Sources, ", ")
		case !r.Covers(in.Topic):
			t.Reason = r.differs(in.Topic)
		case !t.Taken:
			t.Reason = "would fit, but another comes first"
		}
		e.Routes = append(e.Routes, t)
	}
}

// Covers reports whether the topic fits the route's pattern.
func (r *Route) Covers(topic string) bool {
	_, ok := r.match(topic, nil)
	return ok
}

// differs says where a topic leaves the pattern.
func (r *Route) differs(topic string) string {
	levels := strings.Split(topic, "/")
	for i, want := range r.levels {
		switch {
		case i >= len(levels):
			return fmt.Sprintf("the topic ends before level %d, %q", i+1, want)
		case want != levels[i] && want != "+" && want != "#" && !strings.HasPrefix(want, "{"):
			return fmt.Sprintf("level %d is %q, not %q", i+1, clip(levels[i]), want)
		}
	}
	return fmt.Sprintf("the topic goes on after level %d", len(r.levels))
}

// samples puts the readings beside the times their device said.
func (e *Explanation) samples(d *Decoded, readings []Reading) {
	next := 0
	for i := range readings {
		r := &readings[i]
		s := ExplainedSample{Device: r.Device.Key(), Kind: r.Device.Kind.ID, Name: r.Device.Kind.Name, Used: time.UnixMilli(r.Time), Flags: r.Flags.words()}
		for ; next < len(d.samples); next++ {
			if x := &d.samples[next]; x.device == r.Device && x.to > x.from {
				if x.timed {
					said := time.UnixMilli(x.own)
					s.Said = &said
				}
				next++
				break
			}
		}
		for k := range r.Values {
			s.Values = append(s.Values, explainValue(&r.Values[k]))
		}
		e.Samples = append(e.Samples, s)
	}
}

func explainValue(v *Value) ExplainedValue {
	x := ExplainedValue{Field: v.Field.Name, Title: v.Field.Title, Number: v.Number, Unit: v.Field.Unit, Quality: v.Quality.String(), Over: v.Over}
	if says, ok := v.Field.States[fmt.Sprint(v.Number)]; ok {
		x.Says = &says
	}
	return x
}

var flagWords = [...]string{"history", "clock_suspect", "too_late", "backfill", "unjudged"}

func (f Flags) words() (words []string) {
	for i, word := range flagWords {
		if f&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return words
}

// maxLeaves of a payload are compared with what was read.
const maxLeaves = 1000

// unread lists what stands in the payload and nothing reads.
func (e *Explanation) unread(route *Route, in *Incoming) {
	refused := func(code string) bool {
		return len(e.Samples) == 0 && slices.ContainsFunc(e.Rejections, func(r Rejection) bool { return r.Code == code })
	}
	if e.Format == "none" || refused(codec.CodeBadJSON) || refused(CodeGatewayFault) { // which would trip again
		return
	}
	leaves := codec.Leaves([]byte(e.Text), maxLeaves)
	if route == nil || route.house {
		var h codec.House
		if h.Decode(in.Payload, func(*codec.Sample) error { return nil }) == nil {
			e.Mended = h.Mended
		}
		e.unreadHouse(leaves)
		return
	}
	if route.status != nil {
		return
	}
	read := map[int]bool{}
	var w codec.Mapper
	w.Explain(func(u codec.Use) { read[u.Offset] = true })
	captures, _ := route.match(in.Topic, nil)
	err := w.Decode(route.mapping, codec.Envelope{Client: in.Client, User: in.User, Topic: captures, Now: in.Received}, in.Payload, func(*codec.Sample) error { return nil })
	e.Mended = w.Mended
	if len(read) == 0 && err != nil {
		return // it says itself what stands there
	}
	e.Ignored = slices.DeleteFunc(leaves, func(l codec.Leaf) bool { return read[l.Offset] })
}

func (e *Explanation) unreadHouse(leaves []codec.Leaf) {
	for _, l := range leaves {
		path := l.Path
		if strings.HasPrefix(path, "[") {
			_, path, _ = strings.Cut(path, "].")
		}
		first, _, below := strings.Cut(path, ".")
		if first != "ts" && first != "seq" && !(first == "values" && below) && path != "" {
			e.Ignored = append(e.Ignored, l)
		}
	}
}
