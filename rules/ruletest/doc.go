// Package ruletest runs tests of rules that an operator can read and write:
// these readings at these times, and then the duty desk sees this, or nothing.
//
// In: test files beside the rules (configs/rules/*_test.yaml), kinds and rules.
// Out: for every test what was expected and did not happen, with its place in
// the file and a timeline; and which steps of which rules no test expects. A
// test walks the gateway's own way, from the payload through the intake and the
// engine to the book of alarms, in event time. Nothing survives a crash; there
// is nothing to keep. What it will not do: read the wall clock, hear what a
// person does with an alarm, or let a device fall silent, which is not a rule
// of any file.
//
// A test:
//
//	kind: combustible_gas
//	tests:
//	  - name: 浓度升高：黄，红 / gas rises
//	    params: {gas_low_lel_pct: 25}        # design values
//	    baselines: {temp_1_c: 20}            # zero points of fields, for rules with measure: {delta: {}}
//	    readings:
//	      - {at: 0s, gas_lel_pct: 3, valve_state: 0}
//	      - {from: 1m, to: 5m, every: 1m, gas_lel_pct: 5..45} # a ramp
//	      - {from: 6m, every: 1m, gas_lel_pct: [60, 50, 5]}   # one after the other
//	      - {at: 2m, late: 10m, gas_lel_pct: 60}              # arrives ten minutes late
//	    expect:
//	      - {at: 0s, nothing: true}
//	      - {at: 5m, rule: combustible_gas_high, level: yellow}
//	      - {rule: combustible_gas_volume_high, not_armed: true}
//
// At every time that is named, the levels that are not normal must be exactly
// those expected: what nobody expects would ring on the desk as well.
package ruletest
