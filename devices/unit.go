package devices

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A measure is a unit as a multiple of the first of its quantity, and where its
// zero lies.
type measure struct {
	quantity string
	factor   float64
	zero     float64
}

// measures are the units that devices are known to send in. Which unit a field
// has its name says; which one a device sends in its route must say.
var measures = map[string]measure{
	"mV": {"voltage", 0.001, 0}, "V": {"voltage", 1, 0}, "kV": {"voltage", 1000, 0},
	"mA": {"current", 0.001, 0}, "A": {"current", 1, 0}, "kA": {"current", 1000, 0},
	"W": {"power", 0.001, 0}, "kW": {"power", 1, 0}, "MW": {"power", 1000, 0},
	"var": {"reactive power", 0.001, 0}, "kvar": {"reactive power", 1, 0},
	"VA": {"apparent power", 0.001, 0}, "kVA": {"apparent power", 1, 0},
	"Wh": {"energy", 0.001, 0}, "kWh": {"energy", 1, 0}, "MWh": {"energy", 1000, 0},
	"Pa": {"pressure", 0.001, 0}, "hPa": {"pressure", 0.1, 0}, "kPa": {"pressure", 1, 0}, "MPa": {"pressure", 1000, 0}, "mbar": {"pressure", 0.1, 0}, "bar": {"pressure", 100, 0},
	"mm": {"length", 0.001, 0}, "cm": {"length", 0.01, 0}, "m": {"length", 1, 0}, "km": {"length", 1000, 0},
	"°C": {"temperature", 1, 0}, "°F": {"temperature", 5.0 / 9, -160.0 / 9}, "K": {"temperature", 1, -273.15},
	"mg": {"acceleration or mass", 0.001, 0}, "g": {"acceleration or mass", 1, 0},
	"%": {"ratio", 1, 0}, "ratio": {"ratio", 100, 0},
	"%LEL": {"ratio of the explosive limit", 1, 0}, "LEL": {"ratio of the explosive limit", 100, 0},
	"ppb": {"volume fraction", 0.001, 0}, "ppm": {"volume fraction", 1, 0}, "%VOL": {"volume fraction", 10_000, 0},
	"µg/m³": {"mass concentration", 0.001, 0}, "mg/m³": {"mass concentration", 1, 0}, "g/m³": {"mass concentration", 1000, 0},
	"L/min": {"flow", 1.0 / 60, 0}, "L/s": {"flow", 1, 0}, "m³/h": {"flow", 1 / 3.6, 0}, "m³/s": {"flow", 1000, 0},
	"m/s": {"speed", 1, 0}, "km/h": {"speed", 1 / 3.6, 0},
	"mm/h": {"rain intensity", 1, 0}, "mm/min": {"rain intensity", 60, 0},
	"mm/d": {"displacement rate", 1, 0}, "m/d": {"displacement rate", 1000, 0},
	"°": {"angle", 1, 0}, "rad": {"angle", 57.29577951308232, 0},
	"ms": {"duration", 0.001, 0}, "s": {"duration", 1, 0}, "min": {"duration", 60, 0}, "h": {"duration", 3600, 0},
}

// convert is how a number in one unit becomes one in another: scale, then offset.
func convert(from, to string) (scale, offset float64, err error) {
	if from == to {
		return 1, 0, nil
	}
	a, known := measures[from]
	if !known {
		return 0, 0, fmt.Errorf("unknown unit %q%s", from, DidYouMean(from, slices.Collect(maps.Keys(measures))))
	}
	b, known := measures[to]
	if !known || a.quantity != b.quantity {
		return 0, 0, fmt.Errorf("%s cannot become %s%s", from, unitOrNone(to), alternatives(b.quantity))
	}
	return a.factor / b.factor, (a.zero - b.zero) / b.factor, nil
}

func unitOrNone(unit string) string {
	if unit == "" {
		return "a field without a unit"
	}
	return unit
}

func alternatives(quantity string) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(measures)) {
		if quantity != "" && measures[name].quantity == quantity {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", want one of: " + strings.Join(names, ", ")
}
