// Package simulate plays the devices of a county: small physical models that
// measure what real devices would, scenarios that make something happen to them,
// and a fleet that publishes it all over real MQTT.
//
// In: devices (their kinds, intervals and design values), scenarios, a seed and
// the time. Out: payloads in the house format, and connections that break when
// the story says so. The same seed and the same start give the same payloads, to
// the byte. What survives a crash: nothing; a new run begins the story anew.
// What it will not do: judge its own values, or pretend to be a forecast; the
// models are as simple as they can be and still look right on a trend.
//
// [County] is the world and knows no network and no wall clock. [Fleet] carries
// what the county says to a broker.
//
// The county of the demo is data, in configs/demo/devices.yaml.
package simulate

//go:generate go run generate.go
