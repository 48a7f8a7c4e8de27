package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestInstallerWatches walks an installer through every mistake there is between
// a box on a wall and a detector that is watched; each is named, with its remedy,
// by the command that runs beside.
func TestInstallerWatches(t *testing.T) {
	g := newGateway(t, siteYAML(t, "canteen", "pw"), "")
	g.start()
	status, out, errs := g.cli("", "device", "add", "-config", g.config(), "-kind", "combustible_gas", "canteen", "gas-01")
	if status != 0 {
		t.Fatalf("device add: %s", errs)
	}
	password := fieldAfter(out, "MQTT password")
	for _, next := range []string{"mqtt://" + g.mqtt, "v1/canteen/gas-01/telemetry", "http://" + g.http + "/?device=canteen/gas-01", "fengsui device watch -config " + g.config() + " canteen gas-01"} {
		if !strings.Contains(out, next) {
			t.Errorf("device add does not say %q:\n%s", next, out)
		}
	}
	watch := func(wantStatus int, want ...string) {
		t.Helper()
		g.eventually(fmt.Sprintf("the watch says %q", want), func() error {
			status, out, errs := g.cli("", "device", "watch", "-once", "-config", g.config(), "canteen", "gas-01")
			if status != wantStatus {
				return fmt.Errorf("status %d\n%s%s", status, out, errs)
			}
			for _, w := range want {
				if !strings.Contains(out, w) {
					return fmt.Errorf("%q is not in\n%s", w, out)
				}
			}
			return nil
		})
	}
	watch(1, "还没有见到它的连接", "canteen/gas-01")
	for range 3 { // the client tries MQTT 3.1.1 and then 3.1
		if tryConnect(t, g.mqtt, "canteen/gas-01", "wrong") {
			t.Fatal("a wrong password was let in")
		}
	}
	watch(1, "密码错误 6 次，最近一次来自 127.0.0.1:", "fengsui device password canteen gas-01")

	pub(t, g.mqtt, "v1/canteen/gas-1/telemetry", `{"values":{"gas_lel_pct":5}}`, "-u", "canteen", "-P", "pw")
	c := connect(t, g.mqtt, "box", "canteen/gas-01", password)
	watch(1, "✓", "topic v1/canteen/gas-1/telemetry 指向未登记的设备，最接近的是 gas-01")

	c.Publish("v1/canteen/gas-1/telemetry", 1, false, `{}`).WaitTimeout(time.Second) // ends the connection
	watch(1, "曾连接，未上报即断开")
	c = connect(t, g.mqtt, "box", "canteen/gas-01", password)
	watch(1, "发布到 v1/canteen/gas-1/telemetry 被拒绝 1 次", "→ 发布到 v1/canteen/gas-01/telemetry")

	send := func(payload string) {
		t.Helper()
		if token := c.Publish("v1/canteen/gas-01/telemetry", 1, false, payload); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("publish: %v", token.Error())
		}
	}
	send(`{"values":{"gas_lell_pct":5}}`)
	watch(1, "字段 gas_lell_pct 不存在", "最接近的字段是 gas_lel_pct")
	send(`{"values":{"gas_lel_pct":5`)
	watch(1, "不是合法的 JSON")
	send(`{"values":{"gas_lel_pct":500}}`)
	watch(1, "gas_lel_pct = 500，量程 -5 至 110 %LEL")
	send(`{"values":{"gas_lel_pct":5}}`)
	watch(0, "✓", "条规则正在监测")

	// All five survive a restart, and the connection is missed.
	g.stop()
	g.start()
	watch(0, "上报后已断开", "条规则正在监测")
}
