package main

import (
	"strings"
	"testing"
)

func TestReach(t *testing.T) {
	tls := &TLSConfig{CertFile: "c", KeyFile: "k"}
	for _, c := range []struct {
		name, want string
		config     Config
	}{
		{"as it listens", "http://127.0.0.1:8080 mqtt://192.0.2.7:1883", Config{HTTP: HTTPConfig{Listen: "127.0.0.1:8080"}, MQTT: MQTTConfig{Listen: "192.0.2.7:1883", TLSListen: ":8883"}}},
		{"on all addresses", "http://" + ownHost() + ":8080 mqtt://" + ownHost() + ":1883", Config{HTTP: HTTPConfig{Listen: ":8080"}, MQTT: MQTTConfig{Listen: "0.0.0.0:1883"}}},
		{"as people call it", "https://duty.example mqtts://duty.example:8883 mqtt://duty.example:1883", Config{TLS: tls, HTTP: HTTPConfig{Listen: ":8080", URL: "https://duty.example/"}, MQTT: MQTTConfig{Listen: ":1883", TLSListen: ":8883"}}},
		{"through others", "https://192.0.2.7:8080 ssl://192.0.2.8:8883 (broker county)", Config{TLS: tls, HTTP: HTTPConfig{Listen: "192.0.2.7:8080"}, Brokers: []Broker{{Name: "county", URL: "ssl://192.0.2.8:8883"}}}},
	} {
		r := c.config.reach()
		if got := strings.Join(append([]string{r.console}, r.mqtt...), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
