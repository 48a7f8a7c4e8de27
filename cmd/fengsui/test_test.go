package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tested runs "fengsui test" and gives its exit status and what it said.
func tested(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	status := execute(t.Context(), terminal{strings.NewReader(""), &out, &out}, append([]string{"test"}, args...))
	return status, out.String()
}

func TestTheShippedRuleTestsPassAndCoverEverything(t *testing.T) {
	for lang, want := range map[string]string{"en": "every level of every rule has a test", "zh": "所有规则的每一级都有测试"} {
		status, said := tested(t, "-coverage", "-lang", lang)
		if status != 0 || !strings.Contains(said, want) || !strings.Contains(said, "slope_movement_test.yaml") {
			t.Errorf("status %d: %s", status, said)
		}
	}
}

func TestAFailingRuleTestSaysWhereAndWhatHappened(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mine_test.yaml")
	if err := os.WriteFile(name, []byte(`kind: combustible_gas
tests:
  - name: 泄漏 / a leak
    readings:
      - {at: 0s, gas_lel_pct: 3}
      - {at: 1m, gas_lel_pct: 22}
    expect:
      - {at: 1m, rule: combustible_gas_high, level: red}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for lang, want := range map[string][]string{
		"en": {name + ":8:9: 泄漏 / a leak", "expected 1m combustible_gas_high red, found combustible_gas_high gas_lel_pct yellow", "1m  gas_lel_pct 22", "1 tests, 1 expectations not met"},
		"zh": {"期望 1m combustible_gas_high red，实际 combustible_gas_high gas_lel_pct yellow", "1 项测试，1 处与期望不符"},
	} {
		status, said := tested(t, "-lang", lang, name)
		if status != 1 {
			t.Errorf("status %d, want 1", status)
		}
		for _, w := range want {
			if !strings.Contains(said, w) {
				t.Errorf("it does not say %q:\n%s", w, said)
			}
		}
	}
	if status, said := tested(t, "-lang", "en", "-coverage", name); status != 1 || !strings.Contains(said, "not covered: residual_current_high red") {
		t.Errorf("status %d, and of what is not covered: %s", status, said)
	}
	if status, said := tested(t, filepath.Join(t.TempDir(), "none_test.yaml")); status != 1 || !strings.Contains(said, "read rule tests") {
		t.Errorf("status %d of no file: %s", status, said)
	}
}

func TestTheLanguageIsTheMachines(t *testing.T) {
	for _, c := range []struct{ all, messages, lang, want string }{
		{"", "", "", "en"}, {"", "", "zh_CN.UTF-8", "zh"}, {"C", "", "zh_CN.UTF-8", "en"}, {"", "zh_CN", "en_US", "zh"},
	} {
		got := systemLanguage(func(name string) string {
			return map[string]string{"LC_ALL": c.all, "LC_MESSAGES": c.messages, "LANG": c.lang}[name]
		})
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
