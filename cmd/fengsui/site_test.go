package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSitesAndDevicesByCommand: what the commands register is what they show, and
// what is exported can be imported elsewhere.
func TestSitesAndDevicesByCommand(t *testing.T) {
	g := newGateway(t, siteYAML(t, "plant", "pw", "id: meter-01, kind: electricity_meter, state: in_service"), "")
	g.start()
	do := func(wantStatus int, want string, args ...string) string {
		t.Helper()
		line := append([]string{args[0], args[1], "-config", g.config()}, args[2:]...)
		status, out, errs := g.cli("", line...)
		if status != wantStatus || !strings.Contains(out+errs, want) {
			t.Fatalf("%v: status %d\n%s%swant %d %s", args, status, out, errs, wantStatus, want)
		}
		return out
	}
	do(0, "site pond is registered", "site", "add", "-name", "库", "-name-en", "Pond", "-area", "east", "-param", "crest_elev_m=186.2",
		"-document", "crest_elev_m=设计文件@2026-03-01", "-position", "35.1,118.2,GCJ-02", "-contact", "enterprise:值班室:000-0001", "-advice", "先看坝", "pond")
	do(1, "registered already", "site", "add", "pond")
	do(0, "registered", "site", "set", "-camera", "cam-7", "pond")
	shown := do(0, "camera_ref: cam-7", "site", "show", "pond")
	for _, want := range []string{"crest_elev_m: 186.2", "datum: GCJ-02", "phone: 000-0001", "document: 设计文件", "en: Pond"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the site shows no %q:\n%s", want, shown)
		}
	}
	do(0, "MQTT password", "device", "add", "-kind", "slope", "-state", "commissioning", "pond", "gnss-1")
	do(0, "in_service since", "device", "set", "-state", "in_service", "-interval", "30s", "-baseline", "gnss_dx_mm=1.5@2026-03-01T00:00:00+08:00", "pond", "gnss-1")
	do(0, "interval: 30s", "device", "show", "pond", "gnss-1")
	do(1, `did you mean "gnss_dx_mm"?`, "device", "set", "-baseline", "gnss_dxx_mm=1@2026-03-01T00:00:00+08:00", "pond", "gnss-1")
	do(0, "out_of_service since", "device", "set", "-state", "out_of_service", "plant", "meter-01")
	do(1, "stands in the devices file", "device", "set", "-interval", "30s", "plant", "meter-01")
	do(0, "# stands in the devices file", "device", "show", "plant", "meter-01")
	do(0, `"in_file":true`, "device", "show", "-json", "plant", "meter-01")
	do(0, "pond/gnss-1", "device", "list", "-site", "pond")
	do(0, `"sites":[`, "site", "list", "-json")

	all := do(0, "gnss_dx_mm", "device", "export")
	other := newGateway(t, siteYAML(t, "empty", "pw"), "")
	other.start()
	file := filepath.Join(t.TempDir(), "devices.yaml")
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	g = other
	out := do(0, "2 sites and 2 devices are registered", "device", "import", "-passwords", file)
	if strings.Count(out, "\n") != 3 {
		t.Errorf("the import shows\n%s", out)
	}
	do(0, "crest_elev_m: 186.2", "site", "show", "pond")
	do(0, "is gone", "device", "remove", "pond", "gnss-1")
	do(0, "is gone", "site", "remove", "pond")
	do(0, "plant", "site", "list")
	do(2, "fengsui site add", "site", "nonsense")
}
