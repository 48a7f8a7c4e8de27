package broker_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if address := os.Getenv("FENGSUI_BENCH_PUBLISH_TO"); address != "" {
		os.Exit(publishForBenchmark(address))
	}
	goleak.VerifyTestMain(m)
}
