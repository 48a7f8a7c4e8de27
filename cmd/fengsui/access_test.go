package main

import (
	"bytes"
	cryptorand "crypto/rand"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/rules/alarms"
)

// cli runs a subcommand in this process against the gateway's config.
func (g *gateway) cli(stdin string, args ...string) (status int, out, errs string) {
	g.t.Helper()
	g.t.Setenv("FENGSUI_ADMIN_TOKEN", g.token)
	var o, e bytes.Buffer
	status = execute(g.t.Context(), terminal{strings.NewReader(stdin), &o, &e}, args)
	return status, o.String(), e.String()
}

func (g *gateway) config() string { return filepath.Join(g.dir, "fengsui.yaml") }

// tryConnect reports whether the intake lets a client in.
func tryConnect(t *testing.T, address, user, password string) bool {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID("try-" + user).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectTimeout(5 * time.Second)
	c := mqtt.NewClient(o)
	defer c.Disconnect(0)
	token := c.Connect()
	return token.WaitTimeout(10*time.Second) && token.Error() == nil
}

// TestWhoMaySpeak: outside the demo nobody speaks without a password, and with
// one only for itself; passwords are made, changed and revoked at run time.
func TestWhoMaySpeak(t *testing.T) {
	g := newGateway(t, siteYAML(t, "plant", "pw", "id: meter-01, kind: electricity_meter, state: in_service"), "")
	g.start()
	if tryConnect(t, g.mqtt, "", "") {
		t.Error("an anonymous device was let in")
	}
	if tryConnect(t, g.mqtt, "plant", "wrong") {
		t.Error("a wrong password was let in")
	}
	if tryConnect(t, g.mqtt, "plantt", "pw") {
		t.Error("an unknown user was let in")
	}
	var door struct {
		Refused []struct{ Action, Code, User string }
	}
	g.get("/api/v1/refused", &door)
	codes := map[string]string{}
	for _, r := range door.Refused {
		codes[r.Action+" "+r.User] = r.Code
	}
	if codes["connect "] != "unknown_user" || codes["connect plant"] != "wrong_password" || codes["connect plantt"] != "unknown_user" {
		t.Errorf("the list of what was refused says %v", codes)
	}

	status, out, errs := g.cli("", "device", "add", "-config", g.config(), "-kind", "combustible_gas", "canteen-7", "gas-01")
	if status != 0 {
		t.Fatalf("device add: %d %s", status, errs)
	}
	password := fieldAfter(out, "MQTT password")
	if password == "" {
		t.Fatalf("device add shows no password:\n%s", out)
	}
	if !tryConnect(t, g.mqtt, "canteen-7/gas-01", password) {
		t.Fatal("the new device is not let in with the password shown")
	}
	pub(t, g.mqtt, "v1/canteen-7/gas-01/telemetry", `{"values":{"gas_lel_pct":70}}`, "-u", "canteen-7/gas-01", "-P", password)
	g.waitAlarm("an alarm of the device added at run time", func(a *alarms.Alarm) bool {
		return a.Site == "canteen-7" && a.Device == "gas-01" && a.State == alarms.ActiveUnacked
	})

	// It publishes for itself only: a foreign topic ends a 3.1.1 connection.
	c := connect(t, g.mqtt, "foreign", "canteen-7/gas-01", password)
	c.Publish("v1/plant/meter-01/telemetry", 1, false, `{"values":{"voltage_a_v":999}}`).WaitTimeout(time.Second)
	g.eventually("the foreign publish is refused and counted", func() error {
		if g.metric("fengsui_messages_refused_total", `reason="not_authorized"`) != 1 {
			return http.ErrNotSupported
		}
		return nil
	})

	// The device and its password survive a crash; a revoked password does not work.
	g.kill()
	g.start()
	if !tryConnect(t, g.mqtt, "canteen-7/gas-01", password) {
		t.Error("after a crash the device is not let in")
	}
	if status, _, errs := g.cli("", "device", "revoke", "-config", g.config(), "canteen-7", "gas-01"); status != 0 {
		t.Fatalf("device revoke: %s", errs)
	}
	if tryConnect(t, g.mqtt, "canteen-7/gas-01", password) {
		t.Error("a revoked password was let in")
	}
	if status, out, errs := g.cli("", "device", "list", "-config", g.config()); status != 0 || !strings.Contains(out, "canteen-7/gas-01") {
		t.Errorf("device list: %d %s %s", status, out, errs)
	}
	for _, secret := range []string{password, g.token} {
		if strings.Contains(g.output.String(), secret) {
			t.Error("a secret stands in the gateway's output")
		}
	}
}

// TestPeopleAndRoles: a viewer looks, an operator acts, under their own names.
func TestPeopleAndRoles(t *testing.T) {
	g := newGateway(t, siteYAML(t, "canteen", "pw", "id: gas-01, kind: combustible_gas, state: in_service"), "")
	g.start()
	admin := g.token
	for name, role := range map[string]string{"viewer-one": "viewer", "operator-one": "operator"} {
		if status, _, errs := g.cli("a long password of "+name+"\n", "user", "add", "-config", g.config(), "-role", role, "-password-stdin", name); status != 0 {
			t.Fatalf("user add: %s", errs)
		}
	}
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", `{"values":{"gas_lel_pct":70}}`, "-u", "canteen", "-P", "pw")
	a := g.waitAlarm("the alarm", func(a *alarms.Alarm) bool { return a.Device == "gas-01" })

	login := func(name string) *http.Client {
		t.Helper()
		jar := &cookies{}
		client := &http.Client{Jar: jar, Timeout: 10 * time.Second}
		resp, err := client.Post("http://"+g.http+"/api/v1/session", "application/json", strings.NewReader(`{"name":"`+name+`","password":"a long password of `+name+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("login of %s: %s", name, resp.Status)
		}
		return client
	}
	ackWith := func(client *http.Client, key string) (status int, answer string) {
		t.Helper()
		req, err := http.NewRequest("POST", "http://"+g.http+"/api/v1/alarms/"+a.ID+"/ack", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	ack := func(client *http.Client) int {
		t.Helper()
		status, _ := ackWith(client, cryptorand.Text())
		return status
	}
	if status := ack(&http.Client{}); status != http.StatusUnauthorized {
		t.Errorf("acknowledged by nobody: %d, want 401", status)
	}
	if status := ack(login("viewer-one")); status != http.StatusForbidden {
		t.Errorf("acknowledged by a viewer: %d, want 403", status)
	}
	operator := login("operator-one")
	status, first := ackWith(operator, "the-same-key")
	if status != http.StatusOK {
		t.Errorf("acknowledged by an operator: %d, want 200", status)
	}
	if status, again := ackWith(operator, "the-same-key"); status != http.StatusOK || again != first {
		t.Errorf("the same command again: %d %s, want the first answer %s", status, again, first)
	}
	if status := ack(login("operator-one")); status != http.StatusConflict {
		t.Errorf("acknowledged again: %d, want 409", status)
	}
	g.token = admin
	if got := g.waitAlarm("acknowledged", func(b *alarms.Alarm) bool { return b.State == alarms.ActiveAcked }); got.AckedBy != "operator-one" {
		t.Errorf("acknowledged by %q, want operator-one", got.AckedBy)
	}
	if n := len(g.events()); n != 2 {
		t.Errorf("%d events in the alarm log, want raised and acked", n)
	}
}

// TestOneFolderOneGateway: two gateways on one data folder would lose data in
// silence; the second refuses to start and says why.
func TestOneFolderOneGateway(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", "id: d, kind: combustible_gas, state: in_service"), "")
	g.start()
	second := newGateway(t, siteYAML(t, "s", "pw", "id: d, kind: combustible_gas, state: in_service"), "")
	second.write("fengsui.yaml", strings.Replace(readFile(t, second.config()), "data: data", "data: "+filepath.Join(g.dir, "data"), 1))
	status, _, errs := second.cli("", "run", "-config", second.config())
	if status != 1 || !strings.Contains(errs, filepath.Join(g.dir, "data")) {
		t.Errorf("the second gateway: status %d, says %q", status, errs)
	}
}
