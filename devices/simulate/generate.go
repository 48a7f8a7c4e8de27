//go:build ignore

// Command generate writes configs/demo/devices.yaml: the county of the demo,
// with invented sites, design values and contacts. Run it with go generate; an
// argument names another file to write.
package main

import (
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
)

const demoFile = "../../configs/demo/devices.yaml"

const head = `# The simulated county of "fengsui demo": 23 plants, 80 restaurants, 24 electrical-fire
# units, 4 tailings ponds and 19 slopes. Everything in it is invented: no site, place,
# area code, person or telephone number is real. Written by devices/simulate/generate.go.
#
# “烽燧 demo” 的模拟县。所有单位、地名、区划代码、联系方式均为虚构。
#
# The intervals are a demo's, so that the screen lives: seconds where a real county has
# minutes. The 24 electrical-fire units stand for the 2,400 of a real one.
`

// townships A, B, C and D.
var townships = [...]struct{ zh, en, area string }{
	{"甲镇", "Town A", "999901"},
	{"乙镇", "Town B", "999902"},
	{"丙镇", "Town C", "999903"},
	{"丁镇", "Town D", "999904"},
}

// text is a name in both languages.
type text struct{ zh, en string }

// param is a design value of a site.
type param struct {
	name  string
	value float64
}

// device is one of a site's.
type device struct {
	id, kind string
	name     text
	state    string
	interval string
	zeroed   []string // fields with a baseline of zero
}

// site is a place with its devices.
type site struct {
	id       string
	name     text
	township int
	params   []param
	inCharge string // the role of the person at the site itself
	devices  []device
	comment  string
}

func main() {
	var sites []site
	sites = append(sites, plants()...)
	sites = append(sites, restaurants()...)
	sites = append(sites, premises()...)
	sites = append(sites, ponds()...)
	sites = append(sites, slopes()...)
	sites = append(sites, newcomer())
	file := demoFile
	if len(os.Args) > 1 {
		file = os.Args[1]
	}
	if err := os.WriteFile(file, []byte(head+render(sites)), 0o644); err != nil {
		log.Fatal(err)
	}
}

// plants: 23, of which 20 are connected and 3 are still planned.
func plants() []site {
	trades := [...]text{
		{"机械厂", "machinery plant"}, {"铸造厂", "foundry"}, {"木业厂", "timber works"},
		{"食品厂", "food plant"}, {"建材厂", "building materials plant"}, {"纺织厂", "textile mill"},
	}
	rated := [...]float64{250, 400, 630, 400, 800, 1000, 315}
	var all []site
	for i := range 23 {
		t, trade := i%len(townships), trades[i/len(townships)%len(trades)]
		s := site{
			id: fmt.Sprintf("plant-%02d", i+1), township: t,
			name:     named(t, trade),
			params:   supply(rated[i%len(rated)]),
			inCharge: "企业安全员",
			devices:  []device{{"meter-01", "electricity_meter", text{"总进线电表", "Main meter"}, "in_service", "5s", nil}},
		}
		if i >= 20 {
			s.devices[0].state = "planned"
		}
		all = append(all, s)
	}
	return all
}

func restaurants() []site {
	trades := [...]text{
		{"面馆", "noodle house"}, {"饺子馆", "dumpling house"}, {"火锅店", "hotpot restaurant"}, {"小吃店", "snack bar"},
		{"烧烤店", "barbecue"}, {"家常菜馆", "family restaurant"}, {"早餐铺", "breakfast shop"}, {"羊肉馆", "mutton house"},
	}
	var all []site
	for i := range 80 {
		t, trade := i%len(townships), trades[i/len(townships)%len(trades)]
		number := i/(len(townships)*len(trades)) + 1
		all = append(all, site{
			id: fmt.Sprintf("restaurant-%02d", i+1), township: t,
			name:     numbered(t, number, trade),
			inCharge: "餐馆负责人",
			devices:  []device{{"gas-01", "combustible_gas", text{"厨房燃气报警器", "Kitchen gas alarm"}, "in_service", "10s", nil}},
		})
	}
	return all
}

// premises are eight places with three distribution boards each.
func premises() []site {
	trades := [...]text{
		{"集贸市场", "market"}, {"中心小学", "primary school"}, {"卫生院", "clinic"}, {"敬老院", "care home"},
		{"仓库", "warehouse"}, {"旅馆", "hotel"}, {"出租公寓", "apartment house"}, {"商场", "department store"},
	}
	boards := [...]text{{"一层配电箱", "Ground floor board"}, {"二层配电箱", "First floor board"}, {"总配电箱", "Main board"}}
	var all []site
	for i, trade := range trades {
		s := site{
			id: fmt.Sprintf("premises-%02d", i+1), township: i % len(townships),
			name:     named(i%len(townships), trade),
			params:   []param{{"rated_current_a", 160}},
			inCharge: "消防安全管理人",
		}
		for b, board := range boards {
			s.devices = append(s.devices, device{fmt.Sprintf("fire-%02d", b+1), "electrical_fire", board, "in_service", "5s", nil})
		}
		all = append(all, s)
	}
	return all
}

// ponds: levels are elevations, as the design of each dam says.
func ponds() []site {
	var all []site
	for i := range 4 {
		control := 112 + 23.5*float64(i)
		all = append(all, site{
			id: fmt.Sprintf("pond-%02d", i+1), township: i,
			name:     named(i, text{"尾矿库", "tailings pond"}),
			params:   pondDesign(control),
			inCharge: "尾矿库值班员",
			devices:  []device{{"monitor-01", "tailings_pond", text{"在线监测站", "Monitoring station"}, "in_service", "4s", nil}},
		})
	}
	return all
}

// tilts are told since the sensor was mounted.
var tilts = []string{"tilt_x_deg", "tilt_y_deg", "tilt_deg"}

// slopes: one in each township is so steep that a storm moves it.
func slopes() []site {
	angles := [...]float64{32, 28, 35, 30, 26}
	var all []site
	for i := range 19 {
		t := i % len(townships)
		angle := angles[i/len(townships)]
		if i < len(townships) {
			angle = 48
		}
		all = append(all, site{
			id: fmt.Sprintf("slope-%02d", i+1), township: t,
			name:     numbered(t, i/len(townships)+1, text{"边坡", "slope"}),
			params:   slopeDesign(angle),
			inCharge: "群测群防员",
			devices:  []device{{"station-01", "slope", text{"边坡监测站", "Slope station"}, "in_service", "5s", tilts}},
		})
	}
	return all
}

// newcomer has a device of every kind that nobody simulates: for whoever wants
// to publish something. Commissioning: judged, but never silent.
func newcomer() site {
	spare := func(id, kind, zh, en string) device { return device{id, kind, text{zh, en}, "commissioning", "", nil} }
	slope := spare("slope-01", "slope", "待接入边坡监测站", "Your slope station")
	slope.zeroed = tilts
	return site{
		id: "newcomer", name: text{"新接入单位", "Newcomer"},
		comment:  "Nobody simulates these: publish as one of them and watch the screen.",
		params:   unique(slices.Concat(supply(400), pondDesign(180), slopeDesign(30))),
		inCharge: "安装人员",
		devices: []device{
			spare("meter-01", "electricity_meter", "待接入电表", "Your meter"),
			spare("fire-01", "electrical_fire", "待接入电气火灾探测器", "Your electrical-fire unit"),
			spare("gas-01", "combustible_gas", "待接入燃气报警器", "Your gas alarm"),
			spare("pond-01", "tailings_pond", "待接入尾矿库监测站", "Your pond station"),
			slope,
		},
	}
}

// supply: what the connection of a plant is made for, and what its contract allows.
func supply(rated float64) []param {
	return []param{{"rated_current_a", rated}, {"contract_demand_kw", 0.55 * rated}}
}

// pace is how much faster than in the field the demo's weather, water and creep
// are: so much higher are its limits of velocities.
const pace = 60

func slopeDesign(angle float64) []param {
	return []param{
		{"slope_angle_deg", angle},
		{"slope_displacement_limit_mm", 60},
		{"deep_displacement_limit_mm", 30},
		{"pore_pressure_limit_kpa", 80},
		{"groundwater_control_depth_m", 3},
		{"anchor_lock_off_kn", 500},
		{"mud_level_low_m", 2},
		{"mud_level_high_m", 4},
		{"creep_velocity_mm_d", 5 * pace},
		{"slope_velocity_yellow_mm_d", 5 * pace},
		{"slope_velocity_orange_mm_d", 10 * pace},
		{"slope_velocity_red_mm_d", 20 * pace},
		{"slope_velocity_red_mm_h", 5 * pace},
		{"crack_rate_yellow_mm_d", 2 * pace},
		{"crack_rate_orange_mm_d", 5 * pace},
		{"crack_rate_red_mm_d", 10 * pace},
		{"soil_field_capacity_vol_pct", 29},
		{"soil_saturation_vol_pct", 38},
	}
}

// pondDesign is a set of design values that fit each other.
func pondDesign(control float64) []param {
	return []param{
		{"production_level_m", control},
		{"preflood_level_m", control + 0.4},
		{"design_flood_level_m", control + 0.9},
		{"crest_elev_m", control + 2.4},
		{"freeboard_min_m", 0.5},
		{"dry_beach_min_m", 50},
		{"phreatic_control_depth_m", 6},
		{"dam_displacement_limit_mm", 40},
		{"landslide_displacement_limit_mm", 80},
		{"beach_slope_min_pct", 1},
		{"pore_pressure_limit_kpa", 200},
		{"seepage_usual_l_s", 4},
		{"turbidity_baseline_ntu", 10},
		{"pond_rise_yellow_m_d", 2 * pace},
		{"pond_rise_orange_m_d", 4 * pace},
		{"pond_rise_red_m_d", 8 * pace},
		{"pond_fall_yellow_m_d", -4 * pace},
		{"dam_velocity_yellow_mm_d", 5 * pace},
		{"dam_velocity_orange_mm_d", 10 * pace},
		{"dam_velocity_red_mm_d", 20 * pace},
	}
}

// unique keeps the first of two values of the same name.
func unique(params []param) (out []param) {
	for _, p := range params {
		if !slices.ContainsFunc(out, func(q param) bool { return q.name == p.name }) {
			out = append(out, p)
		}
	}
	return out
}

func named(township int, trade text) text {
	t := townships[township]
	return text{t.zh + trade.zh, t.en + " " + trade.en}
}

func numbered(township, number int, trade text) text {
	t := townships[township]
	return text{fmt.Sprintf("%s%d号%s", t.zh, number, trade.zh), fmt.Sprintf("%s %s %d", t.en, trade.en, number)}
}

// render writes YAML with one line for everything that is short.
func render(sites []site) string {
	var b strings.Builder
	b.WriteString("\nsites:\n")
	for i, s := range sites {
		t := townships[s.township]
		if s.comment != "" {
			fmt.Fprintf(&b, "\n  # %s\n", s.comment)
		}
		fmt.Fprintf(&b, "  - id: %s\n    name: {zh: %s, en: %s}\n    area: %q\n", s.id, s.name.zh, s.name.en, t.area)
		if len(s.params) > 0 {
			fmt.Fprintf(&b, "    params: {%s}\n", renderParams(s.params))
		}
		fmt.Fprintf(&b, "    contacts:\n")
		fmt.Fprintf(&b, "      - {role: enterprise, name: %s, phone: 000-%04d}\n", s.inCharge, 1000+i)
		fmt.Fprintf(&b, "      - {role: township, name: %s应急值班室, phone: 000-%04d}\n", t.zh, s.township+1)
	}
	b.WriteString("\ndevices:\n")
	for _, s := range sites {
		for _, d := range s.devices {
			fmt.Fprintf(&b, "  - {site: %s, id: %s, kind: %s, name: {zh: %s, en: %s}, state: %s", s.id, d.id, d.kind, d.name.zh, d.name.en, d.state)
			if d.interval != "" {
				fmt.Fprintf(&b, ", interval: %s", d.interval)
			}
			if len(d.zeroed) > 0 {
				fmt.Fprintf(&b, ", baselines: [%s]", renderBaselines(d.zeroed))
			}
			b.WriteString("}\n")
		}
	}
	return b.String()
}

func renderBaselines(fields []string) string {
	words := make([]string, len(fields))
	for i, f := range fields {
		words[i] = fmt.Sprintf("{field: %s, value: 0, from: 2020-01-01T00:00:00+08:00}", f)
	}
	return strings.Join(words, ", ")
}

func renderParams(params []param) string {
	words := make([]string, len(params))
	for i, p := range params {
		words[i] = fmt.Sprintf("%s: %.4g", p.name, p.value)
	}
	return strings.Join(words, ", ")
}
