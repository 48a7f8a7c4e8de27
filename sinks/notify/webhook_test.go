package notify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// TestWhatAnEndpointIsTold is the policy: who is told of what, when.
func TestWhatAnEndpointIsTold(t *testing.T) {
	for _, c := range []struct {
		name  string
		life  func(s *script)
		set   func(o *WebhookOptions)
		wants string
	}{
		{"a whole life", func(s *script) {
			s.raise("A", rules.Yellow)
			s.level("A", rules.Red)
			s.ack("A")
			s.level("A", rules.Yellow)
			s.level("A", rules.Orange)
			s.clear("A")
			s.close("A")
		}, nil, "raised A-1, level_up A-2, level_up A-5, resolved A-6"},
		{"everything asked for", func(s *script) {
			s.raise("A", rules.Red)
			s.ack("A")
			s.level("A", rules.Yellow)
			s.clear("A")
		}, func(o *WebhookOptions) { o.Steps = Steps }, "raised A-1, acknowledged A-2, level_down A-3, resolved A-4"},
		{"back before it was closed", func(s *script) {
			s.raise("A", rules.Red)
			s.clear("A")
			s.add("A", alarms.Rearmed, func(a *alarms.Alarm) { a.State, a.Level = alarms.ActiveUnacked, rules.Red })
			s.close("A")
		}, nil, "raised A-1, resolved A-2, raised A-3, resolved A-4"},
		{"history wakes nobody, and its end neither", func(s *script) {
			s.raise("A", rules.Red, "backfill")
			s.clear("A")
		}, nil, ""},
		{"history that turns out to be the present", func(s *script) {
			s.raise("A", rules.Red, "backfill")
			s.add("A", alarms.Escalated, func(a *alarms.Alarm) { a.Flags = nil })
			s.clear("A")
		}, nil, "raised A-2, resolved A-3"},
		{"folded under the silence of its site", func(s *script) {
			s.raise("A", rules.Fault, "suppressed")
			s.raise("B", rules.Fault)
			s.add("A", alarms.Cleared, func(a *alarms.Alarm) { a.Flags, a.State, a.Level = nil, alarms.ClearedUnacked, rules.Normal })
			s.clear("B")
		}, nil, "raised B-1, resolved B-2"},
		{"shelved and back", func(s *script) {
			s.raise("A", rules.Yellow)
			s.add("A", alarms.Shelved, func(a *alarms.Alarm) { a.Flags = []string{"shelved"} })
			s.add("A", alarms.Unshelved, func(a *alarms.Alarm) { a.Flags = nil })
			s.clear("A")
		}, nil, "raised A-1, resolved A-4"},
		{"levels", func(s *script) {
			s.raise("A", rules.Yellow)
			s.level("A", rules.Orange)
			s.level("A", rules.Yellow)
			s.clear("A")
			s.raise("B", rules.Blue)
			s.clear("B")
		}, func(o *WebhookOptions) { o.Filter.Levels = []rules.Level{rules.Orange, rules.Red} }, "raised A-2, resolved A-4"},
		{"no faults", func(s *script) {
			s.raise("A", rules.Fault)
			s.raise("B", rules.Blue)
		}, func(o *WebhookOptions) {
			o.Filter.Levels = []rules.Level{rules.Blue, rules.Yellow, rules.Orange, rules.Red}
		}, "raised B-1"},
		{"another site", func(s *script) {
			s.raise("A", rules.Red)
			s.clear("A")
		}, func(o *WebhookOptions) { o.Filter.Sites = []string{"elsewhere"} }, ""},
		{"another kind", func(s *script) { s.raise("A", rules.Red) }, func(o *WebhookOptions) { o.Filter.Kinds = []string{"slope"} }, ""},
		{"its own area", func(s *script) { s.raise("A", rules.Red) }, func(o *WebhookOptions) { o.Filter.Areas = []string{"east"} }, "raised A-1"},
		{"a drill", func(s *script) { s.raise("A", rules.Red, "drill") }, nil, ""},
		{"a drill, where they are wanted", func(s *script) { s.raise("A", rules.Red, "drill") }, func(o *WebhookOptions) { o.Filter.Drills = true }, "raised A-1"},
		{"that it does not answer itself", func(s *script) {
			s.add("A", alarms.Raised, func(a *alarms.Alarm) {
				a.Rule, a.Site, a.Device, a.Level = "gateway_trouble", "gateway", "sink notify_duty", rules.Fault
			})
			s.add("B", alarms.Raised, func(a *alarms.Alarm) {
				a.Rule, a.Site, a.Device, a.Level = "gateway_trouble", "gateway", "sink influx", rules.Fault
			})
		}, nil, "raised B-1"},
		{"a change of the configuration", func(s *script) {
			s.events = append(s.events, alarms.Event{Seq: 1, Type: "config"})
			s.raise("A", rules.Red)
		}, nil, "raised A-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := listen(t, nil), newScript(time.Now())
			c.life(s)
			w := hook(t, l, s, c.set)
			if err := w.Write(t.Context(), s.records(t, 0)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(l.told(t), ", "); got != c.wants {
				t.Errorf("told %s\nwant %s", got, c.wants)
			}
		})
	}
}

// TestStepsFitTogether: whatever happens to an alarm, an endpoint hears of its
// end exactly if it heard of its beginning, and of "worse" only when it is.
func TestStepsFitTogether(t *testing.T) {
	levels := []rules.Level{rules.Blue, rules.Yellow, rules.Orange, rules.Red}
	rapid.Check(t, func(t *rapid.T) {
		f := Filter{Levels: rapid.SliceOfDistinct(rapid.SampledFrom(levels), rapid.ID[rules.Level]).Draw(t, "levels")}
		s := newScript(time.Now())
		s.raise("A", rapid.SampledFrom(levels).Draw(t, "level"))
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			s.add("A", alarms.Updated, func(a *alarms.Alarm) {
				a.State = rapid.SampledFrom([]alarms.State{alarms.ActiveUnacked, alarms.ActiveAcked, alarms.ClearedUnacked, alarms.Closed}).Draw(t, "state")
				a.Level = rapid.SampledFrom(levels).Draw(t, "level")
				a.Flags = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"backfill", "suppressed", "shelved", "latched"}), rapid.ID[string]).Draw(t, "flags")
			})
		}
		var was *told
		for _, e := range s.events {
			step, now := next(&f, was, &e)
			a := &e.Alarm
			switch {
			case step == Raised && (was != nil || over(a) || quiet(a) || !within(f.Levels, a.Level)),
				step == Resolved && (was == nil || !over(a) || now != nil),
				step == LevelUp && (quiet(a) || a.Level.Rank() <= was.Level.Rank()),
				step == LevelDown && a.Level.Rank() >= was.Level.Rank():
				t.Fatalf("%s for %+v, which knew %+v", step, e.Alarm, was)
			case step == "" && was != nil && over(a):
				t.Fatalf("nothing was told of the end of %+v", e.Alarm)
			case step == "" && was == nil && f.stands(a):
				t.Fatalf("nothing was told of %+v", e.Alarm)
			}
			if step, _ := next(&f, now, &e); step != "" {
				t.Fatalf("the same event again is told as %s", step)
			}
			was = now
		}
	})
}

// TestACall: what a person needs is in it, and who may trust it can check it.
func TestACall(t *testing.T) {
	l, s := listen(t, nil), newScript(time.Date(2026, 7, 1, 6, 32, 5, 0, time.UTC))
	s.raise("A", rules.Red)
	w := hook(t, l, s, func(o *WebhookOptions) {
		o.Endpoint.Headers = map[string]string{"X-Site": "county"}
		o.Endpoint.SecretHeaders = map[string]string{"Authorization": file(t, "Bearer s3cret-token\n")}
		o.Endpoint.SecretFile = file(t, "s3cret-key")
		o.Zone = time.FixedZone("CST", 8*3600)
		o.Console = "https://console.example/"
	})
	if err := w.Write(t.Context(), s.records(t, 0)); err != nil {
		t.Fatal(err)
	}
	c := l.calls[0]
	for name, want := range map[string]string{
		"Idempotency-Key": "A-1", "Authorization": "Bearer s3cret-token", "X-Site": "county", "Content-Type": "application/json; charset=utf-8",
	} {
		if got := c.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	at, signature, _ := strings.Cut(strings.TrimPrefix(c.header.Get(SignatureHeader), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte("s3cret-key"))
	fmt.Fprintf(mac, "%s.%s", at, c.body)
	if want := hex.EncodeToString(mac.Sum(nil)); signature != want {
		t.Errorf("signature %q, want %q", signature, want)
	}
	var m Message
	if err := json.Unmarshal(c.body, &m); err != nil {
		t.Fatal(err)
	}
	wantZH := "【监测报警·红色】（延迟送达，为当前情况）翠湖餐厅 厨房燃气探头：可燃气体浓度高，当前 26.5 %LEL，限值 25 %LEL，2026-07-01 14:32:05 起。" +
		"处置：按本单位处置方案执行。联系人：企业 值班室 0000-1；乡镇 应急办。https://console.example/?alarm=A"
	wantEN := "[alarm, red] (delivered late, as it stands now) Lake canteen kitchen detector: gas concentration high, now 26.5 %LEL, limit 25 %LEL, since 2026-07-01 14:32:05. " +
		"Advice: follow your own response plan. Contacts: enterprise 值班室 0000-1; township 应急办. https://console.example/?alarm=A"
	if m.Text.ZH != wantZH || m.Text.EN != wantEN {
		t.Errorf("text\n%s\n%s\nwant\n%s\n%s", m.Text.ZH, m.Text.EN, wantZH, wantEN)
	}
	if m.Alarm.ID != "A" || m.Level != "red" || m.Value != "26.5 %LEL" || !m.Late {
		t.Errorf("message %+v", m)
	}
}

// reset sends some bytes and then a TCP reset.
func reset(w http.ResponseWriter, text string) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	buf.WriteString(text)
	buf.Flush()
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// TestFaultsAtTheEdge: what a fault means, that the message gets through once
// the fault is over, with the same key, and that what was told before and what
// comes after is told once and in order.
func TestFaultsAtTheEdge(t *testing.T) {
	status := func(code int) func(w http.ResponseWriter, n int) {
		return func(w http.ResponseWriter, _ int) { w.WriteHeader(code) }
	}
	for _, c := range []struct {
		name  string
		fault func(w http.ResponseWriter, n int)
		check func(err error) bool
	}{
		{"500", status(500), passing},
		{"502", status(502), passing},
		{"408", status(408), passing},
		{"a reset instead of an answer", func(w http.ResponseWriter, _ int) { reset(w, "") }, passing},
		{"a reset within the answer", func(w http.ResponseWriter, _ int) {
			reset(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
		}, passing},
		{"no HTTP", func(w http.ResponseWriter, _ int) { reset(w, "220 mail.example ESMTP\r\n") }, passing},
		{"429 with Retry-After", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		}, busy(7 * time.Second)},
		{"429", status(429), busy(0)},
		{"503", status(503), busy(0)},
		{"401", status(401), stopped("correct its secret files")},
		{"403", status(403), stopped("correct its secret files")},
		{"404", status(404), stopped("correct url or method")},
		{"405", status(405), stopped("correct url or method")},
		{"a redirect to another host", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", "http://elsewhere.example/steal?key=1")
			w.WriteHeader(307)
		}, stopped("redirects to http://elsewhere.example, which is not followed")},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := listen(t, nil), newScript(time.Now())
			s.raise("A", rules.Red)
			s.raise("B", rules.Red)
			s.raise("C", rules.Red)
			w := hook(t, l, s, nil)
			l.answerWith(func(w http.ResponseWriter, n int) {
				if n > 1 {
					c.fault(w, n)
				}
			})
			batch := s.records(t, 0)
			for range 3 {
				if err := w.Write(t.Context(), batch); !c.check(err) {
					t.Fatalf("got %#v: %v", err, err)
				}
			}
			l.answerWith(nil)
			if err := w.Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			got := l.told(t)
			if n := len(got); n < 6 || got[1] == got[0] || got[n-2] == got[n-1] { // net/http may itself repeat a call that was cut off
				t.Errorf("told %v", got)
			}
			if want := []string{"raised A-1", "raised B-1", "raised C-1"}; !slices.Equal(slices.Compact(got), want) {
				t.Errorf("told %v, want %v", got, want)
			}
			if r := w.Report(); r.Sent != 3 || r.Rejected != 0 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func passing(err error) bool {
	var s *sinks.Stopped
	var b *sinks.Busy
	return err != nil && !errors.As(err, &s) && !errors.As(err, &b)
}

func busy(after time.Duration) func(err error) bool {
	return func(err error) bool {
		var b *sinks.Busy
		return errors.As(err, &b) && b.After == after
	}
}

func stopped(what string) func(err error) bool {
	return func(err error) bool {
		var s *sinks.Stopped
		return errors.As(err, &s) && strings.Contains(s.Reason, what)
	}
}

func TestASlowEndpointEndsAtTheTimeout(t *testing.T) {
	release := make(chan struct{})
	l, s := listen(t, func(http.ResponseWriter, int) { <-release }), newScript(time.Now())
	s.raise("A", rules.Red)
	w := hook(t, l, s, func(o *WebhookOptions) { o.Endpoint.Timeout = 50 * time.Millisecond })
	if err := w.Write(t.Context(), s.records(t, 0)); !passing(err) {
		t.Errorf("got %v", err)
	}
	close(release)
}

// TestWhatIsRefusedForGoodBlocksNothing: a 400 for one message puts that one
// aside, counted and with its reason; its end is then no news either.
func TestWhatIsRefusedForGoodBlocksNothing(t *testing.T) {
	l, s := listen(t, func(w http.ResponseWriter, n int) {
		if n == 2 {
			http.Error(w, `{"error":"text too long"}`, 400)
		}
		if n == 3 { // the batch comes again; what was put aside is not sent again
			w.WriteHeader(500)
		}
	}), newScript(time.Now())
	s.raise("A", rules.Red)
	s.raise("B", rules.Red)
	s.raise("C", rules.Red)
	s.clear("B")
	s.clear("A")
	var aside []string
	w := hook(t, l, s, func(o *WebhookOptions) {
		o.OnRefused = func(body, reason string) { aside = append(aside, reason) }
	})
	records := s.records(t, 0)
	if err := w.Write(t.Context(), records[:3]); !passing(err) {
		t.Fatalf("got %v", err)
	}
	if r := w.Report(); r.Rejected != 1 || r.Sent != 1 || !strings.Contains(r.Trouble, "text too long") {
		t.Errorf("report %+v", r)
	}
	for _, batch := range [][]journal.Record{records[:3], records[3:]} {
		if err := w.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"raised A-1", "raised B-1", "raised C-1", "raised C-1", "resolved A-2"}
	if got := l.told(t); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if r := w.Report(); r.Trouble != "" || len(aside) != 1 || !strings.Contains(aside[0], "400 Bad Request") {
		t.Errorf("report %+v, put aside %v", r, aside)
	}
}

// TestAnAnswerThatIsNoSuccess: chat robots say 200 to everything.
func TestAnAnswerThatIsNoSuccess(t *testing.T) {
	l, s := listen(t, nil), newScript(time.Now())
	s.raise("A", rules.Red)
	s.raise("B", rules.Red)
	w := hook(t, l, s, func(o *WebhookOptions) { o.Answer = `"errcode":0` })
	l.answerWith(func(w http.ResponseWriter, n int) {
		if n == 3 || n > 8 {
			fmt.Fprint(w, `{"errcode":0,"errmsg":"ok"}`)
			return
		}
		fmt.Fprint(w, `{"errcode":45009,"errmsg":"api freq out of limit"}`)
	})
	batch := s.records(t, 0)
	tries := 1
	for ; w.Write(t.Context(), batch) != nil; tries++ {
		if tries > 20 {
			t.Fatal("it never ends")
		}
	}
	if got := l.told(t); len(got) != 8 || got[2] != "raised A-1" || got[3] != "raised B-1" {
		t.Errorf("told %v", got)
	}
	if r := w.Report(); r.Sent != 1 || r.Rejected != 1 || !strings.Contains(r.Trouble, "45009") {
		t.Errorf("report %+v", r)
	}
}

// TestAWeekAwayIsNoStorm: after a long outage an endpoint is told how things
// stand, one call for each alarm that still matters to it.
func TestAWeekAwayIsNoStorm(t *testing.T) {
	now := time.Now()
	s := newScript(now.Add(-8 * 24 * time.Hour))
	s.raise("told-over", rules.Red)
	s.raise("told-open", rules.Yellow)
	before := len(s.events)
	s.now = now.Add(-7 * 24 * time.Hour)
	for i := range 500 { // came and went, some flapping
		id := fmt.Sprintf("gone-%03d", i)
		s.raise(id, rules.Orange)
		s.level(id, rules.Red)
		s.clear(id)
		if i%3 == 0 {
			s.close(id)
		}
	}
	s.raise("open", rules.Yellow)
	s.level("open", rules.Orange)
	s.level("told-open", rules.Red)
	s.clear("told-over")
	s.close("told-over")
	s.raise("flapping", rules.Red)
	for range 20 {
		s.clear("flapping")
		s.add("flapping", alarms.Rearmed, func(a *alarms.Alarm) { a.State, a.Level = alarms.ActiveUnacked, rules.Red })
	}
	s.raise("mixed", rules.Yellow)
	s.now = now
	s.level("mixed", rules.Red) // told with its raise, and not once more
	s.level("mixed", rules.Yellow)
	s.level("mixed", rules.Orange)
	s.ack("open") // not told by itself: what is late must not wait for it
	s.raise("fresh", rules.Blue)

	l, bucket := listen(t, nil), newBucket()
	first := hook(t, l, s, func(o *WebhookOptions) { o.Bucket, o.LateAfter = bucket, 1000*time.Hour })
	records := s.records(t, 0)
	if err := first.Write(t.Context(), records[:before]); err != nil {
		t.Fatal(err)
	}
	l.calls = nil
	w := hook(t, l, s, func(o *WebhookOptions) { o.Bucket = bucket })
	for _, part := range [][]int{{before, 700}, {700, 1400}, {1400, len(records)}} {
		if err := w.Write(t.Context(), records[part[0]:part[1]]); err != nil {
			t.Fatal(err)
		}
	}
	got := l.told(t)
	slices.Sort(got)
	want := []string{"level_up told-open-2 late", "raised flapping-41 late", "raised fresh-1", "raised mixed-4 late", "raised open-3 late", "resolved told-over-2 late"}
	if !slices.Equal(got, want) {
		t.Errorf("told %d: %v\nwant %v", len(got), got, want)
	}
	if r := w.Report(); r.Outdated < 500 {
		t.Errorf("report %+v, want at least 500 outdated", r)
	}
}

// TestAfterACrash: what the endpoint was told is remembered on disk; in between
// the same is told again under the same key.
func TestAfterACrash(t *testing.T) {
	l, s, bucket := listen(t, nil), newScript(time.Now()), newBucket()
	s.raise("A", rules.Red)
	s.raise("B", rules.Red)
	s.clear("A")
	batch := s.records(t, 0)
	same := func(o *WebhookOptions) { o.Bucket = bucket }
	if err := hook(t, l, s, same).Write(t.Context(), batch[:1]); err != nil {
		t.Fatal(err)
	}
	// The cursor was not saved, so the batch comes again: A was told, B was not.
	if err := hook(t, l, s, same).Write(t.Context(), batch[:2]); err != nil {
		t.Fatal(err)
	}
	bucket.err = errors.New("disk full")
	dying := hook(t, l, s, same)
	for range 5 { // told once, though what was told cannot be saved
		if err := dying.Write(t.Context(), batch); err == nil {
			t.Fatal("no error")
		}
	}
	bucket.err = nil
	if err := hook(t, l, s, same).Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	want := []string{"raised A-1", "raised B-1", "resolved A-2", "resolved A-2"}
	if got := l.told(t); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// TestNoSecretIsTold: neither errors nor logs nor reports hold a secret, even if
// the endpoint sends it back.
func TestNoSecretIsTold(t *testing.T) {
	var echo func(r *http.Request) string
	l := listen(t, nil)
	l.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), 400) })
	s := newScript(time.Now())
	s.raise("A", rules.Red)
	var said bytes.Buffer
	secret := file(t, "Bearer hunter2hunter2")
	key := file(t, "signing-key-1")
	address := file(t, l.URL+"/robot/0123456789abcdef/send?key=fedcba9876543210")
	o := func(o *WebhookOptions) {
		o.Endpoint.URL, o.Endpoint.URLFile = "", address
		o.Endpoint.SecretHeaders = map[string]string{"X-Key": secret}
		o.Endpoint.SecretFile = key
		o.OnRefused = func(_, reason string) { said.WriteString(reason) }
		o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	}
	echo = func(r *http.Request) string {
		return fmt.Sprint(r.URL, " ", r.RequestURI, " ", r.Header.Get("X-Key"), " hunter2hunter2 signing-key-1")
	}
	w := hook(t, l, s, o)
	if err := w.Write(t.Context(), s.records(t, 0)); err != nil {
		t.Fatal(err)
	}
	said.WriteString(w.Report().Trouble)
	l.Server.Close()
	down := hook(t, l, s, o)
	said.WriteString(fmt.Sprint(down.Write(t.Context(), s.records(t, 0))))
	if err := os.WriteFile(address, []byte("ftp://host/0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	said.WriteString(fmt.Sprint(down.Write(t.Context(), s.records(t, 0))))
	if !strings.Contains(said.String(), "400 Bad Request") || !strings.Contains(said.String(), "connection refused") || !strings.Contains(said.String(), "want http://") {
		t.Errorf("said %s", said.String())
	}
	for _, secret := range []string{"hunter2hunter2", "signing-key-1", "0123456789abcdef", "fedcba9876543210"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("%s is told: %s", secret, said.String())
		}
	}
}

// TestAChangedSecretCounts: a rotated token needs no restart.
func TestAChangedSecretCounts(t *testing.T) {
	l, s := listen(t, nil), newScript(time.Now())
	s.raise("A", rules.Red)
	token := file(t, "old")
	w := hook(t, l, s, func(o *WebhookOptions) { o.Endpoint.SecretHeaders = map[string]string{"Authorization": token} })
	l.answerWith(func(w http.ResponseWriter, n int) {
		if l.calls[n-1].header.Get("Authorization") != "new" {
			w.WriteHeader(401)
		}
	})
	for _, text := range []string{"old", "", "one\ntwo"} {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(t.Context(), s.records(t, 0)); !stopped("")(err) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if err := os.WriteFile(token, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), s.records(t, 0)); err != nil {
		t.Error(err)
	}
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct{ name, template, contentType, want string }{
		{"none", "", "", ""},
		{"a chat robot", `{"msgtype":"text","text":{"content":{{json .Text.ZH}}}}`, "", ""},
		{"plain text", `{{.Level}} {{.Where.ZH}}{{range .Alarm.Contacts}} {{.Phone}}{{end}}`, "text/plain", ""},
		{"only where there is a value", `{"v":{{with .Alarm.Value}}{{.}}{{else}}null{{end}}}`, "", ""},
		{"a typo", `{"level":{{json .Levell}}}`, "", "template:1:16: executing \"template\" at <.Levell>: can't evaluate field Levell"},
		{"a typo in one step only", "{{if eq .Step \"resolved\"}}\n  {{json .Oops}}{{else}}1{{end}}", "", `tried with "resolved": template: template:2:9`},
		{"a function there is none", `{{upper .Level}}`, "", `template:1: function "upper" not defined`},
		{"no end", `{{if .Late}}`, "", "unexpected EOF"},
		{"no JSON", `{"text":"{{.Text.ZH}} {{.Where.ZH}}"}`, "", "it makes no valid JSON"},
		{"a missing value", `{"v":{{.Alarm.Value}}}`, "", "it makes no valid JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := WebhookOptions{Common: Common{Endpoint: Endpoint{Name: "duty", URL: "http://host"}}, Template: c.template}
			if c.contentType != "" {
				o.Endpoint.Headers = map[string]string{"content-type": c.contentType}
			}
			_, err := NewWebhook(o)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOptionsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		change func(o *WebhookOptions)
		want   string
	}{
		{func(o *WebhookOptions) {}, ""},
		{func(o *WebhookOptions) { o.Endpoint.Name = "" }, "name is empty"},
		{func(o *WebhookOptions) { o.Endpoint.Name = "a/b" }, "want letters, digits"},
		{func(o *WebhookOptions) { o.Endpoint.URL = "" }, "want one of url and url_file"},
		{func(o *WebhookOptions) { o.Endpoint.URLFile = "f" }, "want one of url and url_file"},
		{func(o *WebhookOptions) { o.Endpoint.URL = "host:80" }, "url: want http://"},
		{func(o *WebhookOptions) { o.Endpoint.URL = "http://u:p@host" }, "password"},
		{func(o *WebhookOptions) { o.Endpoint.URL = "http://host?key=1" }, "url_file"},
		{func(o *WebhookOptions) { o.Endpoint.Method = "GET" }, "want POST or PUT"},
		{func(o *WebhookOptions) { o.Endpoint.Headers = map[string]string{"X-Api-Key": "k"} }, "secret_headers"},
		{func(o *WebhookOptions) { o.Endpoint.CAFile = "absent" }, "ca_file"},
		{func(o *WebhookOptions) { o.Steps = []Step{"risen"} }, `"risen"`},
	} {
		o := WebhookOptions{Common: Common{Endpoint: Endpoint{Name: "duty", URL: "http://host"}}}
		c.change(&o)
		_, err := NewWebhook(o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestTryShowsTheAnswer(t *testing.T) {
	l, s := listen(t, func(w http.ResponseWriter, _ int) { fmt.Fprint(w, "thank you") }), newScript(time.Now())
	answer, err := hook(t, l, s, nil).Try(t.Context())
	if err != nil || answer != "200 OK: thank you" {
		t.Errorf("answer %q, %v", answer, err)
	}
	var m Message
	if err := json.Unmarshal(l.calls[0].body, &m); err != nil || m.Step != Test || !strings.Contains(m.Text.ZH, "【测试消息，无需处置") || !strings.Contains(m.Text.EN, "test message") {
		t.Errorf("sent %s, %v", l.calls[0].body, err)
	}
}

// FuzzHide: whatever an endpoint answers, a secret never stands in what is told.
func FuzzHide(f *testing.F) {
	f.Add("no", "s3cret-s3cret")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < minSecret || strings.ContainsAny(secret, "… \t\n") || strings.Contains("…", secret) {
			return
		}
		s := secrets{url: "http://host/path", headers: map[string]string{"X": secret}, key: "signing-key-2"}
		for _, told := range []string{text, text + secret, secret + text + secret} {
			if hidden := s.hide(told); strings.Contains(hidden, secret) {
				t.Errorf("%q holds %q", hidden, secret)
			}
		}
	})
}
