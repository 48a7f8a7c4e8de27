package alarms_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

var update = flag.Bool("update", false, "write the golden files anew")

const start = int64(1_782_541_920_000)

// desk is a book with its log, and the clock and position of its judge.
type desk struct {
	t    testing.TB
	book *alarms.Book
	log  []alarms.Event
	at   alarms.Cause

	stride int64 // ms from an entry to the next
}

func newDesk(t testing.TB) *desk {
	return &desk{t: t, book: alarms.NewBook(), at: alarms.Cause{Position: 1, Clock: start}, stride: 1000}
}

// next moves to the next input entry, a stride later.
func (d *desk) next() *desk {
	d.at.Position++
	d.at.Clock += d.stride
	return d
}

func (d *desk) record(events []alarms.Event) []alarms.Event {
	for i := range events {
		d.book.Recorded(&events[i], uint64(len(d.log)+1))
		d.log = append(d.log, events[i])
	}
	return events
}

func (d *desk) apply(changes ...rules.Change) string {
	return words(d.record(d.next().book.Apply(changes, d.at)))
}

func (d *desk) command(c alarms.Command) (alarms.Event, error) {
	events, err := d.book.Command(c, d.at)
	if err != nil {
		return alarms.Event{}, err
	}
	return d.record(events)[0], nil
}

// do carries out a command that must succeed.
func (d *desk) do(verb alarms.Verb, c alarms.Command) alarms.Event {
	d.t.Helper()
	c.Verb, c.Alarm = verb, d.only().ID
	if c.By == "" {
		c.By = "李雷"
	}
	e, err := d.command(c)
	if err != nil {
		d.t.Fatalf("%s: %v", verb, err)
	}
	return e
}

// refused carries out a command that must not.
func (d *desk) refused(verb alarms.Verb, c alarms.Command) *alarms.Refusal {
	d.t.Helper()
	if c.Verb = verb; c.Alarm == "" {
		c.Alarm = d.only().ID
	}
	if c.By == "" {
		c.By = "韩梅梅"
	}
	_, err := d.command(c)
	var r *alarms.Refusal
	if !errors.As(err, &r) {
		d.t.Fatalf("%s: want a refusal, got %v", verb, err)
	}
	return r
}

func (d *desk) only() alarms.Alarm {
	d.t.Helper()
	all := d.book.Alarms()
	if len(all) != 1 {
		d.t.Fatalf("%d open alarms, want one", len(all))
	}
	return all[0]
}

// fold is a book made of the log; with last only of each alarm's last event.
func fold(log []alarms.Event, last bool) *alarms.Book {
	newest := map[string]int{}
	for i, e := range log {
		newest[e.Alarm.ID] = i
	}
	b := alarms.NewBook()
	for i, e := range log {
		if !last || newest[e.Alarm.ID] == i {
			b.Fold(e)
		}
	}
	return b
}

func words(events []alarms.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprintf("%s %s %s", e.Type, e.Alarm.Level, e.Alarm.State))
		if len(e.Alarm.Flags) > 0 {
			out[len(out)-1] += " " + strings.Join(e.Alarm.Flags, ",")
		}
	}
	return strings.Join(out, "; ")
}

var (
	kind  = &devices.Kind{ID: "combustible_gas", Name: devices.Text{ZH: "可燃气体", EN: "Gas"}}
	lel   = &devices.Field{Name: "gas_lel_pct", Unit: "%LEL"}
	site  = &devices.Site{ID: "sample-gas", Name: devices.Text{ZH: "示例加气站", EN: "Sample gas station"}, Area: "east", Contacts: []devices.Contact{{Role: "enterprise", Name: "值班室", Phone: "000-0000-0000"}}}
	first = &devices.Device{Site: site, ID: "gas-01", Kind: kind, Name: devices.Text{ZH: "1号探测器", EN: "Detector 1"}}
	other = &devices.Device{Site: site, ID: "gas-02", Kind: kind, Name: devices.Text{ZH: "2号探测器", EN: "Detector 2"}}
)

func gasRule(latch bool) *rules.Rule {
	return &rules.Rule{
		ID: "gas_high", Version: "0badcafe", Latch: latch,
		Title: devices.Text{ZH: "可燃气体浓度高", EN: "Gas high"}, Advice: devices.Text{ZH: "按本单位处置方案执行", EN: "Follow the site's own response plan"},
		Basis: rules.Basis{Text: "GB/T 50493-2019 §5.5.2", Status: rules.Verified},
		Steps: []rules.Step{{Level: rules.Yellow, Limit: rules.Limit{Value: 20}}, {Level: rules.Red, Limit: rules.Limit{Value: 50}}},
	}
}

// gas is a level of the first detector.
func gas(level rules.Level) rules.Change { return change(gasRule(false), first, level) }

func latched(level rules.Level) rules.Change { return change(gasRule(true), first, level) }

func change(r *rules.Rule, d *devices.Device, level rules.Level) rules.Change {
	return rules.Change{
		Rule: r, Device: d, Field: lel, Level: level,
		Value: 52.4, Limit: 50, Sample: start + 5000, Received: start + 5084,
	}
}

func expect(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestTheLifeOfAnAlarm(t *testing.T) {
	d := newDesk(t)
	expect(t, d.apply(gas(rules.Yellow)), "raised yellow active_unacked")
	expect(t, d.apply(gas(rules.Yellow)), "")
	d.do(alarms.Ack, alarms.Command{})
	expect(t, d.apply(gas(rules.Red)), "level_up red active_unacked")
	if a := d.only(); a.AckedBy != "" || a.WorstLevel != rules.Red {
		t.Errorf("after level_up: acked by %q, worst %s", a.AckedBy, a.WorstLevel)
	}
	d.do(alarms.Ack, alarms.Command{})
	expect(t, d.apply(gas(rules.Yellow)), "level_down yellow active_acked")
	expect(t, d.apply(gas(rules.Normal)), "cleared normal cleared_unacked")
	if a := d.only(); a.AckedBy != "李雷" || a.ClearedTime != alarms.Time(d.at.Clock) || a.WorstLevel != rules.Red {
		t.Errorf("after cleared: %+v", a)
	}
	id := d.only().ID
	expect(t, d.apply(gas(rules.Yellow)), "rearmed yellow active_unacked")
	if a := d.only(); a.ID != id || a.AckedBy != "" || a.ClearedTime != 0 {
		t.Errorf("after rearmed: %+v", a)
	}
	expect(t, d.apply(gas(rules.Normal)), "cleared normal cleared_unacked")
	d.do(alarms.Close, alarms.Command{Disposition: "real", Note: "换了阀门"})
	if d.book.Len() != 0 {
		t.Errorf("%d open alarms after closing", d.book.Len())
	}
	expect(t, d.apply(gas(rules.Normal)), "")
	expect(t, d.apply(gas(rules.Red)), "raised red active_unacked")
	if d.only().ID == id {
		t.Error("the next alarm has the id of the closed one")
	}
}

func TestLatchedStaysUntilReset(t *testing.T) {
	d := newDesk(t)
	d.apply(latched(rules.Red))
	expect(t, d.refused(alarms.ResetLatch, alarms.Command{}).Code, "still_active")
	expect(t, d.apply(latched(rules.Normal)), "updated red active_unacked latched")
	expect(t, d.refused(alarms.Close, alarms.Command{Disposition: "real"}).Code, "still_active")
	expect(t, d.apply(latched(rules.Yellow)), "rearmed yellow active_unacked")
	expect(t, d.apply(latched(rules.Normal)), "updated yellow active_unacked latched")
	d.next().do(alarms.ResetLatch, alarms.Command{})
	if a := d.only(); a.State != alarms.ClearedUnacked || a.ClearedTime != alarms.Time(d.at.Clock) {
		t.Errorf("after reset: %+v", a)
	}
	expect(t, d.refused(alarms.ResetLatch, alarms.Command{}).Code, "not_latched")
	d.do(alarms.Close, alarms.Command{Disposition: "test"})
}

func TestALatchIsKnownFromTheLogAlone(t *testing.T) {
	d := newDesk(t)
	d.apply(latched(rules.Red))
	b := fold(d.log, true)
	expect(t, words(b.Reconcile(nil, d.next().at)), "updated red active_unacked latched")
}

func TestFlags(t *testing.T) {
	with := func(level rules.Level, set func(c *rules.Change)) rules.Change {
		c := gas(level)
		set(&c)
		return c
	}
	unverified := func(c *rules.Change) { c.Unverified = true }
	backfill := func(c *rules.Change) { c.Backfill = true }
	suppressed := func(c *rules.Change) { c.Suppressed = true }
	t.Run("unverified", func(t *testing.T) {
		d := newDesk(t)
		expect(t, d.apply(with(rules.Red, unverified)), "raised red active_unacked unverified")
		d.do(alarms.Ack, alarms.Command{})
		expect(t, d.apply(gas(rules.Red)), "updated red active_acked")
	})
	t.Run("history wakes nobody until it is news", func(t *testing.T) {
		d := newDesk(t)
		expect(t, d.apply(with(rules.Red, backfill)), "raised red active_unacked backfill")
		d.do(alarms.Ack, alarms.Command{})
		expect(t, d.apply(gas(rules.Red)), "level_up red active_unacked")
		expect(t, d.apply(with(rules.Red, backfill)), "")
	})
	t.Run("folded away", func(t *testing.T) {
		d := newDesk(t)
		d.apply(gas(rules.Yellow))
		expect(t, d.apply(with(rules.Yellow, suppressed)), "updated yellow active_unacked suppressed")
		expect(t, d.apply(gas(rules.Yellow)), "level_up yellow active_unacked")
		expect(t, d.apply(with(rules.Yellow, suppressed)), "updated yellow active_unacked suppressed")
		expect(t, d.apply(with(rules.Normal, suppressed)), "cleared normal cleared_unacked")
	})
	t.Run("first out", func(t *testing.T) {
		d := newDesk(t)
		gas := func(field string, level rules.Level) rules.Change {
			c := gas(level)
			c.Field = &devices.Field{Name: field}
			return c
		}
		expect(t, d.apply(gas("a", rules.Yellow)), "raised yellow active_unacked") // alone
		expect(t, d.apply(gas("b", rules.Fault)), "raised fault active_unacked")   // tells of no spread
		history := gas("c", rules.Red)
		history.Backfill = true
		expect(t, d.apply(history), "raised red active_unacked backfill") // nor does history
		d.at.Clock += 596_999
		expect(t, d.apply(gas("d", rules.Red)), "updated yellow active_unacked first_out; raised red active_unacked")
		expect(t, d.apply(gas("e", rules.Red)), "raised red active_unacked")
		d.at.Clock += 599_000
		expect(t, d.apply(gas("f", rules.Red)), "raised red active_unacked") // a new story, alone so far
		expect(t, d.apply(gas("a", rules.Normal)), "cleared normal cleared_unacked first_out")
	})
	t.Run("first out is not told of what is closed", func(t *testing.T) {
		d := newDesk(t)
		d.apply(gas(rules.Yellow))
		d.apply(gas(rules.Normal))
		d.do(alarms.Close, alarms.Command{})
		expect(t, d.apply(change(gasRule(false), other, rules.Red)), "raised red active_unacked")
	})
	t.Run("first out of a log that marked it at once", func(t *testing.T) {
		d := newDesk(t)
		d.apply(gas(rules.Yellow))
		d.log[0].Order, d.log[0].Alarm.Flags = "", []string{"first_out"}
		d.book = fold(d.log, true)
		expect(t, d.apply(change(gasRule(false), other, rules.Red)), "raised red active_unacked")
	})
}

func TestShelving(t *testing.T) {
	d := newDesk(t)
	d.apply(gas(rules.Yellow))
	hour := d.at.Clock + 3_600_000
	expect(t, d.refused(alarms.Shelve, alarms.Command{Until: hour}).Code, "reason_required")
	expect(t, d.refused(alarms.Shelve, alarms.Command{Note: "检修", Until: d.at.Clock}).Code, "until_required")
	expect(t, d.refused(alarms.Shelve, alarms.Command{Note: "检修", Until: d.at.Clock + 9*3_600_000}).Code, "too_long")
	expect(t, d.refused(alarms.Unshelve, alarms.Command{}).Code, "not_shelved")
	e := d.do(alarms.Shelve, alarms.Command{Note: "检修", Until: hour})
	expect(t, words([]alarms.Event{e}), "shelved yellow active_unacked shelved")
	if r := d.refused(alarms.Shelve, alarms.Command{Note: "检修", Until: hour}); r.Code != "already_shelved" || r.By != "李雷" {
		t.Errorf("%+v", r)
	}
	if at, ok := d.book.NextExpiry(); !ok || at != hour {
		t.Errorf("next expiry %d %v", at, ok)
	}
	expect(t, words(d.book.Tick(alarms.Cause{Position: d.at.Position, Clock: hour - 1})), "")
	expect(t, words(d.record(d.book.Tick(alarms.Cause{Position: d.at.Position, Clock: hour}))), "unshelved yellow active_unacked")
	if _, ok := d.book.NextExpiry(); ok {
		t.Error("an expiry is left")
	}
	d.do(alarms.Shelve, alarms.Command{Note: "检修", Until: hour + 3_600_000})
	expect(t, d.apply(gas(rules.Red)), "level_up red active_unacked") // shelved for something milder
	d.do(alarms.Shelve, alarms.Command{Note: "检修", Until: hour + 3_600_000})
	d.do(alarms.Unshelve, alarms.Command{})
}

func TestRefusals(t *testing.T) {
	d := newDesk(t)
	d.apply(gas(rules.Red))
	d.do(alarms.Ack, alarms.Command{})
	for _, c := range []struct {
		verb alarms.Verb
		do   alarms.Command
		kind alarms.RefusalKind
		code string
	}{
		{alarms.Ack, alarms.Command{}, alarms.Conflict, "already_acked"},
		{alarms.Ack, alarms.Command{Alarm: "A0"}, alarms.NotFound, "not_found"},
		{"bow", alarms.Command{}, alarms.Invalid, "unknown_command"},
		{alarms.Note, alarms.Command{}, alarms.Invalid, "note_required"},
		{alarms.Note, alarms.Command{Note: strings.Repeat("长", 2001)}, alarms.Invalid, "note_too_long"},
		{alarms.Close, alarms.Command{Disposition: "real"}, alarms.Conflict, "still_active"},
	} {
		if r := d.refused(c.verb, c.do); r.Kind != c.kind || r.Code != c.code {
			t.Errorf("%s: %s %s, want %s %s", c.verb, r.Kind, r.Code, c.kind, c.code)
		}
	}
	if r := d.refused(alarms.Ack, alarms.Command{}); r.By != "李雷" || r.At != alarms.Time(d.at.Clock) {
		t.Errorf("the loser is not told who and when: %+v", r)
	}
	if _, err := d.command(alarms.Command{Alarm: d.only().ID, Verb: alarms.Unack}); err == nil {
		t.Error("a command without a name was carried out")
	}
	d.do(alarms.Unack, alarms.Command{})
	expect(t, d.refused(alarms.Unack, alarms.Command{}).Code, "not_acked")
	d.apply(gas(rules.Normal))
	expect(t, d.refused(alarms.Close, alarms.Command{}).Code, "disposition_required")
	expect(t, d.refused(alarms.Close, alarms.Command{Disposition: "whatever"}).Code, "unknown_disposition")
	id := d.only().ID
	d.do(alarms.Close, alarms.Command{Disposition: "false_alarm"})
	if r := d.refused(alarms.Close, alarms.Command{Alarm: id}); r.Code != "already_closed" || r.By != "李雷" {
		t.Errorf("%+v", r)
	}
}

func TestAMildAlarmClosesWithoutADisposition(t *testing.T) {
	d := newDesk(t)
	d.apply(gas(rules.Yellow))
	d.apply(gas(rules.Normal))
	if e := d.do(alarms.Close, alarms.Command{}); e.Alarm.Disposition != "" || e.Alarm.ClosedBy != "李雷" {
		t.Errorf("%+v", e.Alarm)
	}
}

func TestAClearedAlarmCanBeSeenAndStillWaitsToBeClosed(t *testing.T) {
	d := newDesk(t)
	d.apply(gas(rules.Red), gas(rules.Normal))
	if e := d.do(alarms.Ack, alarms.Command{}); e.Alarm.State != alarms.ClearedUnacked || e.Alarm.AckedBy != "李雷" {
		t.Errorf("%+v", e.Alarm)
	}
}

func TestTheSameKeyGetsTheFirstAnswer(t *testing.T) {
	d := newDesk(t)
	d.apply(gas(rules.Red))
	c := alarms.Command{Alarm: d.only().ID, Verb: alarms.Ack, By: "李雷", Key: "k1"}
	e, err := d.command(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*alarms.Book{"live": d.book, "folded": fold(d.log, true)} {
		again, err := b.Command(c, d.next().at)
		if err != nil || len(again) != 1 || again[0].ID != e.ID || again[0].Seq != 2 {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
	}
	c.Verb = alarms.Unack
	if _, err := d.command(c); err == nil || !strings.Contains(err.Error(), "another command") {
		t.Errorf("a key used for another command: %v", err)
	}
}

func TestSystemAlarmsAndSites(t *testing.T) {
	d := newDesk(t)
	find := func(id string) *rules.Rule {
		for _, r := range rules.Builtin() {
			if r.ID == id {
				return r
			}
		}
		t.Fatalf("no rule %s", id)
		return nil
	}
	expect(t, d.apply(
		rules.Change{Rule: find("source_down"), Source: "county", Reason: "no route to host", Level: rules.Fault},
		rules.Change{Rule: find("site_silent"), Site: site, Level: rules.Fault},
		rules.Change{Rule: find("silent"), Device: first, Level: rules.Fault, Suppressed: true},
	), "raised fault active_unacked; raised fault active_unacked; raised fault active_unacked suppressed")
	if n := d.log[0].Note; n != "no route to host" {
		t.Errorf("note %q", n)
	}
	var places []string
	for _, e := range d.log {
		a := e.Alarm
		places = append(places, strings.Join([]string{a.Site, a.Kind, a.Device, a.Field, a.Rule, a.SiteName.EN}, "/"))
		if a.Value != nil || a.Limit != nil || a.SampleTime != 0 {
			t.Errorf("%s has a value", a.Rule)
		}
	}
	expect(t, strings.Join(places, " "), "gateway/gateway/county//source_down/Gateway sample-gas/site///site_silent/Sample gas station sample-gas/combustible_gas/gas-01//silent/Sample gas station")
	if got := d.book.Count()[alarms.Tally{Level: rules.Fault, State: alarms.ActiveUnacked}]; got != 3 {
		t.Errorf("counted %d", got)
	}
}

func TestTheSitesOwnAdviceWins(t *testing.T) {
	own := *site
	own.Advice = &devices.Text{ZH: "本单位自己的方案", EN: "the site's own"}
	dev := *first
	dev.Site = &own
	d := newDesk(t)
	d.apply(change(gasRule(false), &dev, rules.Red), rules.Change{Rule: rules.Builtin()[0], Device: &dev, Level: rules.Fault})
	if got := d.log[0].Alarm.Advice; got != *own.Advice {
		t.Errorf("advice %v", got)
	}
	if got := d.log[1].Alarm.Advice; got == *own.Advice {
		t.Error("a silent device got the advice for danger")
	}
}

func TestNumbersThatJSONCannotSay(t *testing.T) {
	d := newDesk(t)
	c := gas(rules.Red)
	c.Value = math.NaN()
	d.apply(c)
	if _, err := json.Marshal(d.log[0]); err != nil {
		t.Error(err)
	}
}

func TestReconcile(t *testing.T) {
	d := newDesk(t)
	d.apply(gas(rules.Yellow), change(gasRule(false), other, rules.Red))
	got := d.record(d.next().book.Reconcile([]rules.Change{change(gasRule(false), other, rules.Yellow)}, d.at))
	expect(t, words(got), "level_down yellow active_unacked; cleared normal cleared_unacked first_out")
	expect(t, words(d.next().book.Reconcile([]rules.Change{change(gasRule(false), other, rules.Yellow)}, d.at)), "")
}

func TestAlarmAsJSON(t *testing.T) {
	d := newDesk(t)
	d.apply(latched(rules.Yellow))
	d.apply(latched(rules.Red))
	d.do(alarms.Ack, alarms.Command{By: "李雷"})
	d.apply(latched(rules.Normal))
	d.do(alarms.Shelve, alarms.Command{By: "韩梅梅", Note: "检修", Until: d.at.Clock + 3_600_000})
	golden(t, "alarm.json", d.only())
	golden(t, "event.json", d.log[len(d.log)-1])

	var back alarms.Event
	text, err := json.Marshal(d.log[len(d.log)-1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, d.log[len(d.log)-1]) {
		t.Errorf("read back: %+v", back)
	}
}

// The fields of an alarm, as promised to whoever reads them.
const promised = `id seq site site_name area device device_name kind field rule rule_version level worst_level state flags value limit unit quality
	sample_time received_time raised_time cleared_time closed_time acked_by acked_time shelved_until shelved_by closed_by disposition
	title advice basis contacts`

func TestTheFieldsOfAnAlarm(t *testing.T) {
	text, err := os.ReadFile("testdata/alarm.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	var names []string
	for depth := 0; decoder.More() || depth > 1; {
		token, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		if delim, ok := token.(json.Delim); ok {
			if strings.ContainsRune("{[", rune(delim)) {
				depth++
			} else {
				depth--
			}
			continue
		}
		if depth == 1 {
			names = append(names, token.(string))
			var skip json.RawMessage
			if err := decoder.Decode(&skip); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := strings.Join(names, " "), strings.Join(strings.Fields(promised), " "); got != want {
		t.Errorf("fields\n%s\npromised\n%s", got, want)
	}
}

func golden(t *testing.T, name string, value any) {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	path := "testdata/" + name
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("%s (go test -update writes it anew):\n%s", path, text)
	}
}
