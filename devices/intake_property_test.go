package devices

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyMessages draws what a few devices may send in an hour: sound and broken,
// early and late, once and again.
func anyMessages(t *rapid.T) []Incoming {
	start := day.UnixMilli() + 10*60*minute
	topics := rapid.SampledFrom([]string{
		"v1/canteen/gas-1/telemetry", "v1/canteen/gas-2/telemetry", "v1/pond/dam-1/telemetry",
		"v1/canteen/gas-3/telemetry", "v1/canteen/gas-1/status", "v1/canteen/none/telemetry", "elsewhere",
	})
	now := start
	var all []Incoming
	for range rapid.IntRange(1, 40).Draw(t, "messages") {
		now += rapid.SampledFrom([]int64{0, 1, 100, second, minute, 10 * minute}).Draw(t, "pause")
		in := Incoming{Position: uint64(len(all)), Received: now, Source: "s", Topic: topics.Draw(t, "topic")}
		in.Client = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "client")
		in.Retained = rapid.IntRange(0, 9).Draw(t, "retained") == 0
		in.PacketID = uint16(rapid.IntRange(0, 5).Draw(t, "packet"))
		in.Dup = in.PacketID > 0 && rapid.Bool().Draw(t, "dup")
		in.Payload = []byte(anyPayload(t, now))
		if len(all) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			in = rapid.SampledFrom(all).Draw(t, "which")
			in.Received, in.Dup = now, in.PacketID > 0
		}
		all = append(all, in)
	}
	return all
}

func anyPayload(t *rapid.T, now int64) string {
	field := rapid.SampledFrom([]string{"gas_lel_pct", "valve_state", "pond_level_m", "dry_beach_m", "nonsense"})
	value := rapid.SampledFrom([]string{"1", "60", "12.6", "-9999", "1e6", "null", `"N/A"`, `"7"`, "NaN", "[1]", "true"})
	object := rapid.Custom(func(t *rapid.T) string {
		var parts []string
		if rapid.IntRange(0, 3).Draw(t, "timed") > 0 {
			back := rapid.SampledFrom([]int64{0, 1, second, minute, 9 * minute, 40 * minute, -10 * minute, now}).Draw(t, "back")
			parts = append(parts, fmt.Sprintf(`"ts":%d`, now-back))
		}
		var values []string
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			values = append(values, fmt.Sprintf("%q:%s", field.Draw(t, "field"), value.Draw(t, "value")))
		}
		parts = append(parts, `"values":{`+strings.Join(values, ",")+`}`)
		return "{" + strings.Join(parts, ",") + "}"
	})
	switch rapid.IntRange(0, 9).Draw(t, "form") {
	case 0:
		return rapid.SampledFrom([]string{"online", "offline", "", "{", `{"a":1}`, "[]"}).Draw(t, "text")
	case 1, 2:
		return "[" + strings.Join(rapid.SliceOfN(object, 1, 4).Draw(t, "array"), ",") + "]"
	}
	return object.Draw(t, "object")
}

// take walks messages through an intake.
func take(i *Intake, d *Decoded, in Incoming) (Verdict, Outcome) {
	var out Outcome
	i.Decode(in, d)
	v := i.Accept(d, &out)
	return v, out
}

// TestBooksBalance: each message is of exactly one class, and what it brought
// fits the class.
func TestBooksBalance(t *testing.T) {
	r := county(t)
	rapid.Check(t, func(t *rapid.T) {
		i := NewIntake(IntakeOptions{Registry: r})
		var d Decoded
		for _, in := range anyMessages(t) {
			v, out := take(i, &d, in)
			if out.Accepted+out.Duplicates+out.Quarantined != 1 || out.Class() != v.Class {
				t.Fatalf("%s: %+v", in.Payload, out)
			}
			whole := slices.ContainsFunc(v.Rejections, func(r Rejection) bool { return r.Whole })
			switch v.Class {
			case Accepted:
				if whole || len(v.Devices) == 0 {
					t.Fatalf("accepted, yet %+v", v)
				}
			case Duplicate:
				if len(v.Readings)+len(v.Rejections) > 0 {
					t.Fatalf("duplicate, yet %+v", v)
				}
			case Quarantined:
				if len(v.Readings) > 0 || len(v.Rejections) == 0 || !whole || v.Spoke {
					t.Fatalf("quarantined, yet %+v", v)
				}
			}
			for _, x := range v.Readings {
				checkReading(t, &x, &in)
			}
		}
	})
}

// Class is the one class of an outcome of one message.
func (o *Outcome) Class() Class {
	switch {
	case o.Accepted == 1:
		return Accepted
	case o.Duplicates == 1:
		return Duplicate
	}
	return Quarantined
}

func checkReading(t *rapid.T, r *Reading, in *Incoming) {
	if r.Time < earliest || r.Time > in.Received+ahead || r.Received != in.Received || len(r.Values) == 0 {
		t.Fatalf("%s became %+v", in.Payload, r)
	}
	if r.Flags&ClockSuspect != 0 && r.Time != in.Received {
		t.Fatalf("a suspect clock, yet its own time: %+v", r)
	}
	if r.Flags&(TooLate|Backfill) != 0 && r.Flags&History == 0 {
		t.Fatalf("late, yet no history: %+v", r)
	}
	if r.Flags&History == 0 && (in.Retained || in.Payload[0] == '[') {
		t.Fatalf("news out of %s: %+v", in.Payload, r)
	}
}

// TestRedeliveryIsIdempotent: whatever was accepted and comes again at once,
// marked as a redelivery, is a duplicate, also after a restart.
func TestRedeliveryIsIdempotent(t *testing.T) {
	r := county(t)
	rapid.Check(t, func(t *rapid.T) {
		i := NewIntake(IntakeOptions{Registry: r})
		var d Decoded
		for n, in := range anyMessages(t) {
			v, _ := take(i, &d, in)
			if v.Class != Accepted || in.PacketID == 0 {
				continue
			}
			if rapid.Bool().Draw(t, "restart") {
				i = restarted(t, i, r)
			}
			in.Dup, in.Received = true, in.Received+second
			if again, out := take(i, &d, in); again.Class != Duplicate {
				t.Fatalf("message %d, again: %s, %+v", n, again.Class, out)
			}
		}
	})
}

func restarted(t interface{ Fatal(...any) }, i *Intake, r *Registry) *Intake {
	data, err := i.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	fresh := NewIntake(IntakeOptions{Registry: r})
	if err := fresh.Restore(data); err != nil {
		t.Fatal(err)
	}
	again, err := fresh.Snapshot()
	if err != nil || !bytes.Equal(data, again) {
		t.Fatal("the snapshot of a restored intake is another one")
	}
	return fresh
}

// TestRestartChangesNothing: with restarts in between, every message becomes
// what it would have become without.
func TestRestartChangesNothing(t *testing.T) {
	r := county(t)
	rapid.Check(t, func(t *rapid.T) {
		steady, restarting := NewIntake(IntakeOptions{Registry: r}), NewIntake(IntakeOptions{Registry: r})
		var d Decoded
		for _, in := range anyMessages(t) {
			want, _ := take(steady, &d, in)
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				restarting = restarted(t, restarting, r)
			}
			if rapid.IntRange(0, 3).Draw(t, "reload") == 0 {
				restarting.SetRegistry(r)
			}
			if got, _ := take(restarting, &d, in); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s:\ngot  %+v\nwant %+v", in.Payload, got, want)
			}
		}
	})
}

// TestFieldOrderIsIrrelevant: the same members in another order give the same
// values and the same class, and are the same content.
func TestFieldOrderIsIrrelevant(t *testing.T) {
	r := county(t)
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.SliceOfN(rapid.SampledFrom([]string{
			`"gas_lel_pct":60`, `"gas_lel_pct":5`, `"gas_lel_pct":-9999`, `"valve_state":1`, `"valve_state":7`, `"fan_on":true`, `"co_ppm":"12"`, `"nonsense":1`, `"co_ppm":[1]`,
		}), 1, 6).Draw(t, "members")
		payload := func(m []string) []byte {
			return fmt.Appendf(nil, `{"ts":%d,"values":{%s}}`, day.UnixMilli(), strings.Join(m, ","))
		}
		seed := rapid.Uint64().Draw(t, "seed")
		shuffled := slices.Clone(members)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(members), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })

		in := Incoming{Received: day.UnixMilli(), Topic: "v1/canteen/gas-1/telemetry", Payload: payload(members)}
		i := NewIntake(IntakeOptions{Registry: r})
		var d Decoded
		first, _ := take(NewIntake(IntakeOptions{Registry: r}), &d, in)
		take(i, &d, in)
		in.Payload = payload(shuffled)
		second, _ := take(NewIntake(IntakeOptions{Registry: r}), &d, in)
		if first.Class != second.Class || !reflect.DeepEqual(sortedWorth(first), sortedWorth(second)) {
			t.Fatalf("%s:\n%+v\n%s:\n%+v", members, first, shuffled, second)
		}
		if first.Class != Accepted {
			return
		}
		if again, _ := take(i, &d, in); again.Class != Duplicate {
			t.Fatalf("%s is not the content of %s", shuffled, members)
		}
	})
}

func sortedWorth(v Verdict) []string {
	var all []string
	for _, r := range v.Readings {
		for _, x := range r.Values {
			all = append(all, fmt.Sprintf("%s=%v %s %v", x.Field.Name, x.Number, x.Quality, x.Over))
		}
	}
	slices.Sort(all)
	return all
}

// TestChangedRegistry: what was decoded against another registry is decoded
// again, and what is held of a device stays with it.
func TestChangedRegistry(t *testing.T) {
	i := NewIntake(IntakeOptions{Registry: county(t)})
	in := Incoming{Received: day.UnixMilli(), Topic: "v1/canteen/new/telemetry", Payload: fmt.Appendf(nil, `{"ts":%d,"values":{"gas_lel_pct":1}}`, day.UnixMilli())}
	old := in
	old.Topic = "v1/pond/dam-1/telemetry"
	old.Payload = fmt.Appendf(nil, `{"ts":%d,"values":{"pond_level_m":1}}`, day.UnixMilli())
	var d, out = Decoded{}, Outcome{}
	take(i, &d, old)
	i.Decode(in, &d)
	i.SetRegistry(county(t, DeviceConfig{Site: "canteen", ID: "new", Kind: "combustible_gas"}))
	if v := i.Accept(&d, &out); v.Class != Accepted || v.Devices[0].Key() != "canteen/new" {
		t.Errorf("a device that was registered meanwhile: %+v", v)
	}
	if v, _ := take(i, &d, old); v.Class != Duplicate {
		t.Errorf("a device that stayed was forgotten: %+v", v)
	}
	i.SetRegistry(county(t))
	if v, _ := take(i, &d, in); v.Class != Quarantined {
		t.Errorf("a device that is gone: %+v", v)
	}
	if v, _ := take(i, &d, old); v.Class != Duplicate {
		t.Errorf("a device that stayed was forgotten: %+v", v)
	}
}

// TestMemoryIsBounded: neither many client ids nor many messages let the intake
// grow without end, and a client that sends much is remembered for longer.
func TestMemoryIsBounded(t *testing.T) {
	i := NewIntake(IntakeOptions{Registry: county(t)})
	in := Incoming{Topic: "v1/canteen/gas-1/telemetry", Payload: []byte(`{"values":{"gas_lel_pct":1}}`)}
	var d Decoded
	var out Outcome
	send := func(n int, every int64) {
		for k := range n {
			in.Received, in.PacketID = in.Received+every, uint16(k%60000+1)
			out.Reset()
			i.Decode(in, &d)
			i.Accept(&d, &out)
		}
	}
	in.Received, in.Client = day.UnixMilli(), "slow"
	send(1000, 30*second)
	in.Client = "fast"
	send(20_000, 1)
	size := func(client string) int {
		in.Client = client
		return len(i.clients[clientPrint(&in)].seen.prints)
	}
	if slow, fast := size("slow"), size("fast"); slow != fewDeliveries || fast != mostDeliveries {
		t.Errorf("remembered of a slow client %d, of a fast one %d", slow, fast)
	}
	all := clients{}
	for n := range uint64(mostClients + 1) {
		all.of(n).add(1, int64(n))
	}
	if len(all) > mostClients || all[mostClients] == nil || all[mostClients-1] == nil || all[0] != nil {
		t.Errorf("of %d clients, %d are remembered, and not the latest", mostClients+1, len(all))
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	r := county(t)
	i := NewIntake(IntakeOptions{Registry: r})
	var d Decoded
	in := Incoming{Received: day.UnixMilli(), PacketID: 1, Topic: "v1/canteen/gas-1/telemetry", Payload: fmt.Appendf(nil, `{"ts":%d,"values":{"gas_lel_pct":1}}`, day.UnixMilli())}
	take(i, &d, in)
	data, err := i.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := i.Restore(data[:n]); err == nil {
			t.Fatalf("%d of %d bytes are enough", n, len(data))
		}
	}
	if err := i.Restore(append([]byte{99}, data[1:]...)); err == nil {
		t.Error("another version is accepted")
	}
	in.Dup = true
	if v, _ := take(i, &d, in); v.Class != Duplicate {
		t.Error("a failed restore changed the intake")
	}
}

func FuzzRestore(f *testing.F) {
	r := county(f)
	i := NewIntake(IntakeOptions{Registry: r})
	var d Decoded
	in := Incoming{Received: day.UnixMilli(), PacketID: 1, Topic: "v1/canteen/gas-1/telemetry", Payload: fmt.Appendf(nil, `{"ts":%d,"values":{"gas_lel_pct":1}}`, day.UnixMilli())}
	take(i, &d, in)
	data, err := i.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		i := NewIntake(IntakeOptions{Registry: r})
		if i.Restore(data) == nil {
			if v, _ := take(i, &d, in); len(v.Rejections) > 0 && v.Rejections[0].Code == CodeGatewayFault { // what was restored must work
				t.Error(v.Rejections[0].Detail)
			}
		}
	})
}

func FuzzIntake(f *testing.F) {
	r := county(f)
	f.Add("v1/canteen/gas-1/telemetry", []byte(`[{"ts":1782541925000,"seq":1,"values":{"gas_lel_pct":1,"gas_lel_pct":2,"x":NaN}},7]`), false, uint16(3))
	f.Add("v1/canteen/gas-1/status", []byte("online"), true, uint16(0))
	f.Add("v1/a/b/telemetry", []byte("{"), true, uint16(1))
	f.Fuzz(func(t *testing.T, topic string, payload []byte, retained bool, packet uint16) {
		i := NewIntake(IntakeOptions{Registry: r})
		in := Incoming{Received: day.UnixMilli(), Topic: topic, Payload: payload, Retained: retained, PacketID: packet}
		var d Decoded
		v, out := take(i, &d, in)
		if out.Accepted+out.Quarantined != 1 || (v.Class == Quarantined) != (len(v.Rejections) > 0 && v.Rejections[0].Whole) {
			t.Fatalf("%+v", out)
		}
		for _, x := range v.Rejections {
			if x.Code == CodeGatewayFault || len(x.Field) > 80 || len(x.Detail) > 400 || x.Detail == "" {
				t.Fatalf("a poor rejection: %+v", x)
			}
		}
		in.Dup = true
		if again, _ := take(i, &d, in); packet > 0 && v.Class == Accepted && again.Class != Duplicate {
			t.Fatalf("again: %+v", again)
		}
	})
}

// hot is the message the figures are measured with: five values, at QoS 1.
var hot = Incoming{
	Received: 1656311525000, Source: "embedded", Client: "pond-gateway", PacketID: 7, Topic: "v1/pond/dam-1/telemetry",
	Payload: []byte(`{"ts":1656311525000,"seq":10482,"values":{"pond_level_m":182.43,"dry_beach_m":96.5,"phreatic_depth_m":6.82,"battery_v":3.31,"rssi_dbm":-87}}`),
}

func TestIntakeDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	i := NewIntake(IntakeOptions{Registry: county(t)})
	next := nextMessage(i)
	for range 10_000 {
		next()
	}
	if n := testing.AllocsPerRun(1000, next); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// nextMessage sends hot again and again, each a second later than the one before.
func nextMessage(i *Intake) func() {
	in := hot
	in.Payload = bytes.Clone(hot.Payload)
	stamp := in.Payload[len(`{"ts":`):][:13]
	var d Decoded
	var out Outcome
	return func() {
		in.Received += second
		in.PacketID = in.PacketID%60000 + 1
		for n, k := in.Received, len(stamp)-1; k >= 0; n, k = n/10, k-1 {
			stamp[k] = byte('0' + n%10)
		}
		out.Reset()
		i.Decode(in, &d)
		if v := i.Accept(&d, &out); v.Class != Accepted || len(v.Readings) != 1 || len(v.Readings[0].Values) != 5 {
			panic("the benchmark's message is not accepted")
		}
	}
}

func BenchmarkIntake(b *testing.B) {
	next := nextMessage(NewIntake(IntakeOptions{Registry: county(b)}))
	b.SetBytes(int64(len(hot.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// BenchmarkIntakeDecode is the part that runs in parallel.
func BenchmarkIntakeDecode(b *testing.B) {
	i := NewIntake(IntakeOptions{Registry: county(b)})
	var d Decoded
	b.ReportAllocs()
	for b.Loop() {
		i.Decode(hot, &d)
	}
}
