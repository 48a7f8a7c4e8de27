package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

// alertsOf lists what a call said: "firing A yellow", in order.
func alertsOf(t *testing.T, c call) []string {
	t.Helper()
	var alerts []alert
	if err := json.Unmarshal(c.body, &alerts); err != nil {
		t.Fatalf("%v in %s", err, c.body)
	}
	list := []string{}
	for _, a := range alerts {
		word := "firing"
		if !a.EndsAt.After(time.Now()) {
			word = "ended"
		}
		if a.EndsAt.Before(a.StartsAt) {
			t.Errorf("%v ends before it starts", a)
		}
		list = append(list, fmt.Sprintf("%s %s %s", word, a.Annotations["alarm"], a.Labels["severity"]))
	}
	slices.Sort(list)
	return list
}

func manager(t *testing.T, l *listener, s *script, change func(o *AlertmanagerOptions)) *Alertmanager {
	t.Helper()
	o := AlertmanagerOptions{Common: Common{Endpoint: Endpoint{Name: "am", URL: l.URL}, Standing: s.standing(), Zone: time.UTC}}
	if change != nil {
		change(&o)
	}
	a, err := NewAlertmanager(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// TestAlertmanagerIsToldWhatStands: one batch is one call, of each alarm how it
// stands at the end; another level is another alert, and the one before ends.
func TestAlertmanagerIsToldWhatStands(t *testing.T) {
	l, s := listen(t, nil), newScript(time.Now().Add(-time.Minute))
	a := manager(t, l, s, func(o *AlertmanagerOptions) { o.Filter.Levels = []rules.Level{rules.Yellow, rules.Red} })
	for i, step := range []struct {
		what func()
		want string
	}{
		{func() { s.raise("A", rules.Yellow); s.raise("B", rules.Blue); s.raise("C", rules.Red, "backfill") }, "firing A yellow"},
		{func() { s.level("A", rules.Orange); s.level("A", rules.Red) }, "ended A yellow, firing A red"},
		{func() { s.ack("A") }, "firing A red"},
		{func() {
			s.add("A", alarms.Shelved, func(a *alarms.Alarm) { a.Flags = []string{"shelved"} })
		}, "ended A red"},
		{func() { s.add("A", alarms.Unshelved, func(a *alarms.Alarm) { a.Flags = nil }) }, "ended A yellow, firing A red"},
		{func() { s.clear("A") }, "ended A red"},
		{func() { s.raise("D", rules.Red); s.clear("D") }, "ended D red, ended D yellow"},
	} {
		first := len(s.events)
		step.what()
		a.o.Standing.open = s.standing().open
		l.calls = nil
		if err := a.Write(t.Context(), s.records(t, first)); err != nil {
			t.Fatal(err)
		}
		if len(l.calls) != 1 {
			t.Fatalf("step %d: %d calls", i, len(l.calls))
		}
		if got := strings.Join(alertsOf(t, l.calls[0]), ", "); got != step.want {
			t.Errorf("step %d: told %s, want %s", i, got, step.want)
		}
	}
}

// TestAlertmanagerAfterAWeek: what came and went is not fired first.
func TestAlertmanagerAfterAWeek(t *testing.T) {
	l, s := listen(t, nil), newScript(time.Now().Add(-7*24*time.Hour))
	for i := range 50 {
		s.raise(fmt.Sprint(i), rules.Red)
	}
	half := len(s.events)
	for i := range 49 {
		s.clear(fmt.Sprint(i))
	}
	a := manager(t, l, s, nil)
	for _, batch := range [][2]int{{0, half}, {half, len(s.events)}} {
		if err := a.Write(t.Context(), s.records(t, 0)[batch[0]:batch[1]]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range l.calls {
		for _, told := range alertsOf(t, c) {
			if strings.HasPrefix(told, "firing") && told != "firing 49 red" {
				t.Errorf("told %s", told)
			}
		}
	}
}

// TestRepeats: all that stands, again and again, with an end that lies behind
// the next repetition; and one call even if nothing stands, which finds out that
// nobody listens before it matters.
func TestRepeats(t *testing.T) {
	l, s := listen(t, nil), newScript(time.Now())
	a := manager(t, l, s, func(o *AlertmanagerOptions) { o.Labels = map[string]string{"gateway": "county"} })
	if err := a.repeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := alertsOf(t, l.calls[0]); len(got) != 0 {
		t.Errorf("told %v", got)
	}
	for i := range 1200 {
		s.raise(fmt.Sprint(i), rules.Red)
	}
	a.o.Standing.open = s.standing().open
	l.calls = nil
	if err := a.repeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, c := range l.calls {
		told += len(alertsOf(t, c))
	}
	if told != 1200 || len(l.calls) != 3 {
		t.Errorf("told of %d alarms in %d calls", told, len(l.calls))
	}
	var alerts []alert
	if err := json.Unmarshal(l.calls[0].body, &alerts); err != nil {
		t.Fatal(err)
	}
	one := alerts[0]
	if left := time.Until(one.EndsAt); left < 3*time.Minute || left > 4*time.Minute {
		t.Errorf("ends in %v, want four repetitions", left)
	}
	want := map[string]string{"alertname": "gas_high", "severity": "red", "site": "canteen", "area": "east", "kind": "combustible_gas", "device": "gas-01", "field": "gas_lel_pct", "gateway": "county"}
	if fmt.Sprint(one.Labels) != fmt.Sprint(want) {
		t.Errorf("labels %v, want %v", one.Labels, want)
	}
	if !strings.Contains(one.Annotations["summary_zh"], "翠湖餐厅") || !strings.Contains(one.Annotations["summary_en"], "Lake canteen") {
		t.Errorf("annotations %v", one.Annotations)
	}

	l.answerWith(func(w http.ResponseWriter, _ int) { w.WriteHeader(500) })
	a.repeated(a.repeat(t.Context()))
	if r := a.Report(); r.Failed != 1 || !strings.Contains(r.Trouble, "what stands cannot be repeated: the endpoint answered 500") {
		t.Errorf("report %+v", r)
	}
	l.answerWith(nil)
	a.repeated(a.repeat(t.Context()))
	if r := a.Report(); r.Trouble != "" || r.Sent != 2400 {
		t.Errorf("report %+v", r)
	}
}

// TestAlertmanagerThatRefuses: alerts it will never take block nothing.
func TestAlertmanagerThatRefuses(t *testing.T) {
	l, s := listen(t, func(w http.ResponseWriter, _ int) { http.Error(w, "bad label", 400) }), newScript(time.Now())
	s.raise("A", rules.Red)
	a := manager(t, l, s, nil)
	if err := a.Write(t.Context(), s.records(t, 0)); err != nil {
		t.Fatal(err)
	}
	if r := a.Report(); r.Rejected != 1 || !strings.Contains(r.Trouble, "bad label") {
		t.Errorf("report %+v", r)
	}
	l.answerWith(func(w http.ResponseWriter, _ int) { w.WriteHeader(503) })
	if err := a.Write(t.Context(), s.records(t, 0)); !busy(0)(err) {
		t.Errorf("got %v", err)
	}
}
