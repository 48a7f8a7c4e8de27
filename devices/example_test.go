package devices_test

import (
	"fmt"
	"os"
	"time"

	"fengsui/devices"
)

// A message walks from its topic and payload to readings and rejections.
func ExampleIntake() {
	kinds, err := devices.LoadKinds(os.DirFS("../configs/kinds"))
	if err != nil {
		fmt.Println(err)
		return
	}
	registry, err := devices.NewRegistry(devices.RegistryOptions{
		Kinds:   kinds,
		Sites:   []*devices.Site{{ID: "canteen", Name: devices.Text{ZH: "店", EN: "Canteen"}}},
		Devices: []devices.DeviceConfig{{Site: "canteen", ID: "gas-1", Kind: "combustible_gas"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	intake := devices.NewIntake(devices.IntakeOptions{Registry: registry})

	var decoded devices.Decoded
	var outcome devices.Outcome
	intake.Decode(devices.Incoming{ // in any goroutine
		Received: time.Date(2026, 6, 27, 6, 32, 5, 0, time.UTC).UnixMilli(),
		Topic:    "v1/canteen/gas-1/telemetry",
		Payload:  []byte(`{"values":{"gas_lel_pct":180,"valve_state":1,"gas_lell_pct":1}}`),
	}, &decoded)
	verdict := intake.Accept(&decoded, &outcome) // in the judge's, in receive order

	fmt.Println(verdict.Class)
	for _, v := range verdict.Readings[0].Values {
		fmt.Println(v.Field.Title.EN, v.Number, v.Field.Unit, v.Quality, v.Over)
	}
	for _, r := range verdict.Rejections {
		fmt.Printf("%s: did you mean %s?\n", r.Detail, r.Hint)
	}
	// Output:
	// accepted
	// Gas concentration 180 %LEL suspect true
	// Shut-off valve 1  good false
	// the kind combustible_gas has no field "gas_lell_pct": did you mean gas_lel_pct?
}
