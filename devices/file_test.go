package devices_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"fengsui/devices"
)

// TestAFileOfManyDevices bounds what reading a devices file costs: it is most of
// what a start of the gateway takes.
func TestAFileOfManyDevices(t *testing.T) {
	kinds, err := devices.LoadKinds(os.DirFS("../configs/kinds"))
	if err != nil {
		t.Fatal(err)
	}
	const n = 500
	var text strings.Builder
	text.WriteString("sites:\n  - {id: s, name: {zh: 站点, en: Site}}\ndevices:\n")
	for i := range n {
		fmt.Fprintf(&text, "  - {site: s, id: d%03d, kind: combustible_gas, state: in_service}\n", i)
	}
	each := testing.AllocsPerRun(3, func() {
		if _, err := devices.ParseDevices("devices.yaml", []byte(text.String()), kinds); err != nil {
			t.Fatal(err)
		}
	}) / n
	t.Logf("%.0f allocations a device", each)
	if each > 350 {
		t.Errorf("%.0f allocations a device", each)
	}
}
