package web_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"fengsui/sinks/console"
)

// hostileWords gives, in turn, what somebody who means harm, or whose keyboard is
// broken, would write instead of a name.
func hostileWords() func(string) string {
	attempts := []string{
		`<img src=x onerror="window.hacked=1">`,
		`<script>window.hacked=1</script>`,
		`"><svg onload=window.hacked=1><style>*{display:none}</style>`,
		`javascript:window.hacked=1`,
		`' onmouseover='window.hacked=1`,
		"%s \u202eneddih\u202c \u2066left\u200f",
		"\u200b\u200d\ufeff\u2060",
		"{who} {when} $& $1 {{7*7}}",
		"Z" + strings.Repeat("\u0337\u0322\u033a", 60),
		"a\nb\t\x07c\x00d",
		"__proto__",
		strings.Repeat("W", 10_000),
		strings.Repeat("长", 3_334),
	}
	n := 0
	return func(text string) string {
		n++
		attempt := attempts[n%len(attempts)]
		if strings.Contains(attempt, "%s") {
			return fmt.Sprintf(attempt, text)
		}
		return attempt
	}
}

// pseudoTexts is put behind the texts of the page: each becomes longer by at least
// two fifths, accented, and marked at both ends.
const pseudoTexts = `
function pseudo(text: string): string {
  const accented: Record<string, string> = { a: "á", c: "ç", e: "ê", g: "ğ", i: "ï", n: "ñ", o: "ø", r: "ř", s: "š", u: "ü", y: "ý", A: "Å", C: "Ç", E: "É", N: "Ñ", O: "Ø", R: "Ř", S: "Š", U: "Ü" };
  const parts = text.split(/(\{\w+\})/).map((part) => (part.startsWith("{") ? part : part.replace(/[a-zA-Z]/g, (c) => accented[c] ?? c)));
  const longer = Math.max(0, Math.ceil(text.replace(/\{\w+\}/g, "").length * 0.4) - 2);
  return "⟦" + parts.join("") + "~".repeat(longer) + "⟧";
}
for (const pair of Object.values(texts) as unknown as string[][]) pair.forEach((text, i) => (pair[i] = pseudo(text)));
`

// pseudoPage builds the page with the pseudo-locale for both languages.
func pseudoPage(t *testing.T) *console.Page {
	t.Helper()
	web, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dist := t.TempDir()
	speak := api.Plugin{Name: "pseudo", Setup: func(b api.PluginBuild) {
		b.OnLoad(api.OnLoadOptions{Filter: `/i18n/texts\.ts$`}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			source, err := os.ReadFile(a.Path)
			text := string(source) + pseudoTexts
			return api.OnLoadResult{Contents: &text, Loader: api.LoaderTS}, err
		})
	}}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: web, Outdir: dist, Bundle: true, Write: true, Plugins: []api.Plugin{speak},
		EntryPointsAdvanced: []api.EntryPoint{
			{InputPath: "src/main.tsx", OutputPath: "main"},
			{InputPath: "src/chart.ts", OutputPath: "chart"},
			{InputPath: "src/ticker.ts", OutputPath: "ticker"},
			{InputPath: "src/theme.css", OutputPath: "theme"},
		},
		Target: api.ES2022, Format: api.FormatESModule, JSX: api.JSXAutomatic, JSXImportSource: "preact",
		Define: map[string]string{"BUILD": `"folder"`}, LogLevel: api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		t.Fatal(strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
	}
	index, err := os.ReadFile("src/index.html")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dist, "index.html"), index, 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := console.FolderPage(dist)
	if err != nil {
		t.Fatal(err)
	}
	return page
}
