package rules

import "fengsui/devices"

// badInARow is how many impossible values in a row make a sensor fault.
const badInARow = 3

// sensor is the condition of the built-in rule sensor_fault: a value beyond the
// range on the dangerous side, or too many impossible ones in a row. A good
// value ends it.
type sensor struct{}

func (sensor) step(s *state, x *sample) {
	s.at = x.time
	level := s.level
	switch {
	case x.is(sampleOver):
		level = Fault
	case x.is(sampleBad):
		s.run = min(s.run+1, badInARow)
		if s.run == badInARow {
			level = Fault
		}
	case x.is(sampleDoubtful):
		s.run = 0
	default:
		s.run, level = 0, Normal
	}
	if level != s.level {
		s.wake()
		s.level, s.cause = level, *x
		s.rest()
	}
	if s.level != Normal && s.backfill() && !x.is(sampleBackfill) {
		s.cause = *x
	}
}

func (sensor) pass(s *state, _ int64) { s.due = never } // it waits for nothing

func (sensor) again(*state) state { return fresh() }

// sensorPrint stands for the one condition that is everywhere the same.
const sensorPrint = 1

// builtin are the rules that every gateway has: what is wrong with a device or
// a source, never how dangerous the world is.
type builtin struct {
	silent, siteSilent, sourceDown, clockFault, sensorFault, trouble *Rule
}

// Builtin lists the rules that no file holds.
func Builtin() []*Rule {
	b := newBuiltin()
	return []*Rule{b.silent, b.siteSilent, b.sourceDown, b.clockFault, b.sensorFault, b.trouble}
}

func newBuiltin() builtin {
	fault := func(id string, title, advice devices.Text) *Rule {
		r := &Rule{
			ID: id, Title: title, Advice: advice,
			Basis: Basis{Text: "平台默认 / platform default", Status: PlatformDefault},
		}
		return r.seal()
	}
	look := devices.Text{
		ZH: "检查设备供电、通信和安装；修复前按本单位处置方案改用人工巡查",
		EN: "Check the device's power, link and mounting; until it is repaired patrol by hand as the site's own plan says",
	}
	return builtin{
		silent: fault("silent", devices.Text{ZH: "设备失联", EN: "Device silent"}, look),
		siteSilent: fault("site_silent", devices.Text{ZH: "整个现场失联", EN: "Whole site silent"}, devices.Text{
			ZH: "检查现场网关、供电和通信线路；恢复前按本单位处置方案改用人工巡查",
			EN: "Check the site's gateway, power and link; until it is back patrol by hand as the site's own plan says",
		}),
		sourceDown: fault("source_down", devices.Text{ZH: "数据来源中断", EN: "Source lost"}, devices.Text{
			ZH: "检查消息服务器及其网络；中断期间经由它接入的设备不可见",
			EN: "Check the broker and its network; devices behind it cannot be seen meanwhile",
		}),
		trouble: fault("gateway_trouble", devices.Text{ZH: "网关自身故障", EN: "Gateway trouble"}, devices.Text{
			ZH: "查看原因并检查网关的磁盘、日志和下游；在此期间消息照常保存和判级",
			EN: "See the reason and check the gateway's disk, log and sinks; messages are kept and judged meanwhile",
		}),
		clockFault: fault("clock_fault", devices.Text{ZH: "设备时钟错误", EN: "Device clock wrong"}, devices.Text{
			ZH: "校正设备时钟；校正前其数据按到达时间判断",
			EN: "Set the device's clock; until then its readings are judged by their time of arrival",
		}),
		sensorFault: fault("sensor_fault", devices.Text{ZH: "传感器故障", EN: "Sensor fault"}, devices.Text{
			ZH: "到现场核实读数，检查传感器和接线",
			EN: "Verify the value on site; check the sensor and its wiring",
		}),
	}
}
