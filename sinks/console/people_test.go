package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const goodPassword = "correct horse 电池"

func TestSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		if err := r.people.Add(t.Context(), "李雷", Operator, goodPassword); err != nil {
			t.Fatal(err)
		}
		login := `{"name":"李雷","password":"` + goodPassword + `"}`
		_, text, header := r.callFull("POST", "/api/v1/session", "", login)
		cookie := header.Get("Set-Cookie")
		for _, want := range []string{cookieName + "=", "HttpOnly", "SameSite=Strict", "Path=/"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("cookie %q lacks %s", cookie, want)
			}
		}
		if strings.Contains(cookie, "Secure") {
			t.Errorf("cookie %q would not come back over plain HTTP", cookie)
		}
		if !strings.Contains(text, `"user":"李雷","role":"operator","expires":"`) {
			t.Errorf("answer is %s", text)
		}
		if _, _, header := r.callFull("POST", "/api/v1/session", "", login, "X-Forwarded-Proto", "https"); !strings.Contains(header.Get("Set-Cookie"), "Secure") {
			t.Errorf("cookie %q is not Secure", header.Get("Set-Cookie"))
		}
		who := func(cookie string) (int, string) {
			return r.call("GET", "/api/v1/session", "", "", "Cookie", cookie)
		}
		first := r.signIn(login)
		if status, body := who(first); status != 200 || !strings.Contains(body, "operator") {
			t.Errorf("signed in: %d %s", status, body)
		}
		if err := r.people.SetRole(t.Context(), "李雷", Viewer); err != nil {
			t.Fatal(err)
		}
		if _, body := who(first); !strings.Contains(body, "viewer") {
			t.Errorf("with another role: %s", body)
		}

		second := r.signIn(login)
		if status, _ := r.call("DELETE", "/api/v1/session", "", "", "Cookie", second); status != 204 {
			t.Errorf("sign out: %d", status)
		}
		if status, _ := who(second); status != 401 {
			t.Errorf("signed out: %d", status)
		}
		if status, _ := who(first); status != 200 {
			t.Errorf("the other session: %d", status)
		}

		if status, body := r.call("PUT", "/api/v1/session/password", "", `{"old":"wrong one indeed","new":"another horse 电池"}`, "Cookie", first); status != 401 {
			t.Errorf("change with a wrong password: %d %s", status, body)
		}
		if status, body := r.call("PUT", "/api/v1/session/password", "", `{"old":"`+goodPassword+`","new":"another horse 电池"}`, "Cookie", first); status != 204 {
			t.Errorf("change: %d %s", status, body)
		}
		if status, _ := who(first); status != 401 {
			t.Errorf("after a change of password: %d", status)
		}
		if status, _ := r.call("POST", "/api/v1/session", "", login); status != 401 {
			t.Errorf("with the old password: %d", status)
		}
	})
}

// TestSessionsEnd: a session ends when it is not used, and after a week; that of
// a wall, which came with a viewer's token, stays for as long as it is in use
// and its token is good.
func TestSessionsEnd(t *testing.T) {
	ctx, bucket, now := t.Context(), newMemoryBucket(), time.Now()
	p, err := OpenPeople(ctx, PeopleOptions{Bucket: bucket, AdminToken: adminToken, Cost: 4, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Add(ctx, "li", Operator, goodPassword), p.Add(ctx, "wall", Viewer, "")); err != nil {
		t.Fatal(err)
	}
	token, err := p.IssueToken(ctx, "wall")
	if err != nil {
		t.Fatal(err)
	}
	begin := func(who Identity, err error) (in func() bool) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		cookie, _, _, err := p.begin(ctx, who)
		if err != nil {
			t.Fatal(err)
		}
		return func() bool { _, ok := p.cookie(cookie); return ok }
	}
	li := func() func() bool { return begin(p.password(ctx, "192.0.2.1", "li", goodPassword)) }
	unused, used, wall := li(), li(), begin(p.Token("192.0.2.1", token))
	began := now
	for now.Sub(began) <= longSession {
		if !used() || !wall() {
			t.Fatalf("a session in use ended after %v", now.Sub(began))
		}
		now = now.Add(idleSession - time.Minute)
		p.tidy(ctx)
	}
	if unused() {
		t.Error("a session nobody uses goes on")
	}
	if used() {
		t.Error("a session goes on for longer than a week")
	}
	for range 100 {
		if !wall() {
			t.Fatalf("the wall's session ended after %v", now.Sub(began))
		}
		now = now.Add(idleSession - time.Minute)
		p.tidy(ctx)
	}
	if n := len(bucket.values); n != 3 { // two people, one session
		t.Errorf("%d things on record", n)
	}
	if p, err = OpenPeople(ctx, PeopleOptions{Bucket: bucket, AdminToken: adminToken, Cost: 4, Now: func() time.Time { return now }}); err != nil || !wall() {
		t.Errorf("the use of the session is not on record: %v", err)
	}
	if err := p.RevokeTokens(ctx, "wall"); err != nil || wall() {
		t.Errorf("the wall's session outlasts its token: %v", err)
	}
	for range 2 * maxSessions {
		li()
	}
	if n := len(bucket.values); n > maxSessions+3 {
		t.Errorf("%d things on record", n)
	}
}

// TestPeopleOutlastARestart: sessions, tokens and people do; what was ended
// stays ended even where the bucket did not take the end of the session.
func TestPeopleOutlastARestart(t *testing.T) {
	ctx := t.Context()
	bucket := newMemoryBucket()
	open := func() *People {
		t.Helper()
		p, err := OpenPeople(ctx, PeopleOptions{Bucket: bucket, AdminToken: adminToken, Cost: 4})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := open()
	if err := p.Add(ctx, "韩梅梅", Operator, goodPassword); err != nil {
		t.Fatal(err)
	}
	token, err := p.IssueToken(ctx, "韩梅梅")
	if err != nil {
		t.Fatal(err)
	}
	who, err := p.password(ctx, "192.0.2.1", "韩梅梅", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	cookie, _, _, err := p.begin(ctx, who)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := p.Token("192.0.2.1", adminToken)
	if err != nil {
		t.Fatal(err)
	}
	adminCookie, _, _, err := p.begin(ctx, admin)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(bucket.values)
	if err != nil {
		t.Fatal(err)
	}

	p = open()
	if who, ok := p.cookie(cookie); !ok || who.Name != "韩梅梅" || who.Role != Operator {
		t.Errorf("the session is %+v", who)
	}
	if who, err := p.Token("192.0.2.1", token); err != nil || who.Name != "韩梅梅" {
		t.Errorf("the token is %+v, %v", who, err)
	}
	if who, ok := p.cookie(adminCookie); !ok || who.Role != Admin {
		t.Errorf("the admin's session is %+v", who)
	}
	if err := p.SetPassword(ctx, "韩梅梅", "another horse 电池"); err != nil {
		t.Fatal(err)
	}
	var before map[string][]byte
	if err := json.Unmarshal(kept, &before); err != nil {
		t.Fatal(err)
	}
	for key, value := range before { // as if the sessions had not been deleted
		if strings.HasPrefix(key, sessionPrefix) {
			bucket.values[key] = value
		}
	}
	p = open()
	if _, ok := p.cookie(cookie); ok {
		t.Error("the session outlasted a change of password")
	}
	p, err = OpenPeople(ctx, PeopleOptions{Bucket: bucket, AdminToken: "another-admin-token-of-more-than-32-characters", Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.cookie(adminCookie); ok {
		t.Error("the admin's session outlasted a change of the admin token")
	}
	for key, value := range bucket.values {
		for _, secret := range []string{goodPassword, token, cookie, adminToken, adminCookie} {
			if strings.Contains(key+string(value), secret) {
				t.Errorf("%s holds a secret: %s", key, value)
			}
		}
	}
}

func TestAdminToken(t *testing.T) {
	ctx := t.Context()
	bucket, file := newMemoryBucket(), filepath.Join(t.TempDir(), "admin-token")
	open := func() *People {
		t.Helper()
		p, err := OpenPeople(ctx, PeopleOptions{Bucket: bucket, AdminTokenFile: file, Cost: 4})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	open()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || len(token) < 43 {
		t.Errorf("mode %v, token of %d characters", info.Mode(), len(token))
	}
	if strings.Contains(string(bucket.values[adminKey]), token) {
		t.Error("the bucket holds the token itself")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p := open()
	if who, err := p.Token("192.0.2.1", token); err != nil || who.Role != Admin || who.Name != AdminName {
		t.Errorf("%+v %v", who, err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("another token was made up")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := OpenPeople(ctx, PeopleOptions{Bucket: newMemoryBucket(), Cost: 4}); err == nil || !strings.Contains(err.Error(), "FENGSUI_ADMIN_TOKEN") {
		t.Errorf("nowhere to leave a token: %v", err)
	}
}

func TestUsers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		for _, c := range []struct {
			body   string
			status int
			code   string
		}{
			{`{"name":"li","role":"viewer","password":"` + goodPassword + `"}`, 201, ""},
			{`{"name":"li","role":"viewer","password":"` + goodPassword + `"}`, 409, "exists"},
			{`{"name":"","role":"viewer","token":true}`, 422, "bad_name"},
			{`{"name":"admin","role":"viewer","token":true}`, 422, "bad_name"},
			{`{"name":" li","role":"viewer","token":true}`, 422, "bad_name"},
			{`{"name":"a/b","role":"viewer","token":true}`, 422, "bad_name"},
			{`{"name":"han","role":"boss","token":true}`, 422, "bad_role"},
			{`{"name":"han","role":"viewer"}`, 422, "no_way_in"},
			{`{"name":"han","role":"viewer","password":"short"}`, 422, "bad_password"},
			{`{"name":"han","role":"viewer","password":"` + strings.Repeat("长", 25) + `"}`, 422, "bad_password"},
			{`{"name":"handsome-han","role":"viewer","password":"Handsome-Han"}`, 422, "bad_password"},
		} {
			status, body := r.call("POST", "/api/v1/users", adminToken, c.body)
			if status != c.status || c.code != "" && errorCode(t, body) != c.code {
				t.Errorf("%s: %d %s", c.body, status, body)
			}
		}
		_, body := r.call("POST", "/api/v1/users", adminToken, `{"name":"值班长","role":"operator","token":true}`)
		var added struct{ Token string }
		if err := json.Unmarshal([]byte(body), &added); err != nil || added.Token == "" {
			t.Fatalf("%s", body)
		}
		if _, body = r.call("GET", "/api/v1/session", added.Token, ""); !strings.Contains(body, "值班长") {
			t.Errorf("the token gives %s", body)
		}
		if _, body = r.call("GET", "/api/v1/users", adminToken, ""); !strings.Contains(body, `"name":"li","role":"viewer"`) || !strings.Contains(body, `"tokens":1`) || strings.Contains(body, "$2a$") {
			t.Errorf("users are %s", body)
		}
		if status, body := r.call("PATCH", "/api/v1/users/li", adminToken, `{"role":"admin","password":"another horse 电池"}`); status != 204 {
			t.Errorf("change: %d %s", status, body)
		}
		if status, body := r.call("PATCH", "/api/v1/users/nobody", adminToken, `{"role":"admin"}`); status != 404 || errorCode(t, body) != "not_found" {
			t.Errorf("change nobody: %d %s", status, body)
		}
		cookie := r.signIn(`{"name":"li","password":"another horse 电池"}`)
		status, body := r.call("POST", "/api/v1/users/li/tokens", "", "", "Cookie", cookie)
		if err := json.Unmarshal([]byte(body), &added); err != nil || status != 201 {
			t.Errorf("token: %d %s", status, body)
		}
		if status, _ := r.call("DELETE", "/api/v1/users/li/tokens", adminToken, ""); status != 204 {
			t.Errorf("revoke: %d", status)
		}
		if status, _ := r.call("GET", "/api/v1/session", added.Token, ""); status != 401 {
			t.Errorf("a revoked token: %d", status)
		}
		if status, _ := r.call("DELETE", "/api/v1/users/li", adminToken, ""); status != 204 {
			t.Errorf("remove: %d", status)
		}
		if status, _ := r.call("GET", "/api/v1/session", "", "", "Cookie", cookie); status != 401 {
			t.Errorf("a session of somebody removed: %d", status)
		}
		if status, _ := r.call("DELETE", "/api/v1/users/li", adminToken, ""); status != 404 {
			t.Errorf("remove twice: %d", status)
		}
	})
}

// TestThrottle: guessing is slow; who knows the password elsewhere is not shut
// out at once, and neither is a program with a good token.
func TestThrottle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		token := r.person("program", Viewer)
		if err := r.people.Add(t.Context(), "li", Viewer, goodPassword); err != nil {
			t.Fatal(err)
		}
		login := func(name, password string) (int, string, http.Header) {
			return r.callFull("POST", "/api/v1/session", "", `{"name":"`+name+`","password":"`+password+`"}`)
		}
		for range perPair.tries {
			if status, body, _ := login("li", "wrong password"); status != 401 || errorCode(t, body) != "bad_login" {
				t.Fatalf("%d %s", status, body)
			}
		}
		status, body, header := login("li", goodPassword)
		if status != 429 || errorCode(t, body) != "too_many_tries" || header.Get("Retry-After") != "31" {
			t.Errorf("after %d wrong tries: %d %s, Retry-After %s", perPair.tries, status, body, header.Get("Retry-After"))
		}
		time.Sleep(31 * time.Second)
		if status, body, _ := login("li", goodPassword); status != 200 {
			t.Errorf("after waiting: %d %s", status, body)
		}
		for range 100 {
			login("nobody", "wrong password")
			login("somebody", "wrong password")
			r.call("GET", "/api/v1/session", "short-guess", "")
		}
		if status, _, _ := login("another", goodPassword); status != 429 {
			t.Errorf("the address is not held back: %d", status)
		}
		if status, _ := r.call("GET", "/api/v1/session", token, ""); status != 200 {
			t.Errorf("a good token is held back: %d", status)
		}
		if _, err := r.people.password(t.Context(), "198.51.100.9", "li", goodPassword); err != nil {
			t.Errorf("from another address: %v", err)
		}
		if n := len(r.people.throttle.stocks); n > 20 {
			t.Errorf("%d stocks", n)
		}
	})
}

// TestThrottleForgets: strangers cannot fill the memory.
func TestThrottleForgets(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		th := newThrottle(time.Now)
		for i := range 3 * maxStocks {
			th.try("192.0.2.1", strings.Repeat("x", 1+i%3)+time.Duration(i).String())
			time.Sleep(time.Second)
			if len(th.stocks) > maxStocks {
				t.Fatalf("%d stocks", len(th.stocks))
			}
		}
	})
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64", "2001:db8:0:0:5::1": "2001:db8::/64", "fe80::1%eth0": "fe80::/64", "?": "?"} {
		if got := network(address); got != want {
			t.Errorf("network(%s) = %s, want %s", address, got, want)
		}
	}
}

// TestNoSecretInLogs: whatever people do, right or wrong, no secret of theirs is
// logged.
func TestNoSecretInLogs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		secrets := []string{adminToken, goodPassword, "wrong-password", "wrong-token", "wrong-cookie", "stream-token"}
		token := r.person("li", Operator)
		cookie := r.signIn(`{"token":"` + token + `"}`)
		secrets = append(secrets, token, strings.TrimPrefix(cookie, cookieName+"="))
		r.call("POST", "/api/v1/users", adminToken, `{"name":"han","role":"viewer","password":"`+goodPassword+`"}`)
		r.call("POST", "/api/v1/session", "", `{"name":"han","password":"`+goodPassword+`"}`)
		r.call("POST", "/api/v1/session", "", `{"name":"han","password":"wrong-password"}`)
		r.call("POST", "/api/v1/session", "", `{"token":"wrong-token"}`)
		r.call("POST", "/api/v1/session", "", `{"tokem":"wrong-token"}`)
		r.call("GET", "/api/v1/alarms?token=wrong-token", "wrong-token", "")
		r.call("GET", "/api/v1/alarms", "", "", "Cookie", cookieName+"=wrong-cookie")
		_, body := r.call("POST", "/api/v1/users/han/tokens", adminToken, "")
		var issued struct{ Token string }
		if err := json.Unmarshal([]byte(body), &issued); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, issued.Token)
		b := r.browse("stream-token")
		synctest.Wait()
		b.leave()
		b = r.browse(token)
		time.Sleep(2 * time.Second)
		b.leave()
		r.stop()
		for _, s := range secrets {
			if strings.Contains(r.log.String(), s) {
				t.Errorf("%q is in the log", s)
			}
		}
		if !strings.Contains(r.log.String(), "signed in") || !strings.Contains(r.log.String(), "password was refused") {
			t.Errorf("the log says nothing of signing in: %s", r.log)
		}
	})
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		role, do Role
		may      bool
	}{
		{Viewer, Viewer, true}, {Viewer, Operator, false}, {Operator, Viewer, true}, {Operator, Admin, false},
		{Admin, Operator, true}, {"", Viewer, false}, {"root", Viewer, false},
	} {
		if c.role.May(c.do) != c.may {
			t.Errorf("%q may %q: %v", c.role, c.do, !c.may)
		}
	}
}
