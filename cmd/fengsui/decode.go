package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"fengsui/devices"
)

const decodeUsage = `fengsui decode -topic TOPIC [flags] PAYLOAD|@FILE|-

Shows what a payload becomes and why, without a running gateway: pasted as text
or as hexadecimal, from a file, or (-) from standard input. Devices that were
added at run time are not known here, only those of the devices file.

  fengsui decode -topic v1/canteen-01/gas-01/telemetry '{"values":{"gas_lel_pct":12.6}}'

`

// runDecode is "fengsui decode".
func runDecode(t terminal, args []string) error {
	flags := flag.NewFlagSet("decode", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(t.err, decodeUsage)
		flags.PrintDefaults()
	}
	path := flags.String("config", "fengsui.yaml", "config `file`")
	in := devices.Incoming{}
	flags.StringVar(&in.Topic, "topic", "", "`topic` it is published under")
	flags.StringVar(&in.Client, "client", "", "MQTT client `id` of the sender")
	flags.StringVar(&in.User, "user", "", "MQTT `user` of the sender: a site, or site/device")
	flags.StringVar(&in.Source, "source", embeddedSource, "`name` of the broker it comes through")
	flags.BoolVar(&in.Retained, "retained", false, "the broker hands it out of its memory")
	received := flags.String("received", "", "`time` of arrival, RFC 3339 (default: now)")
	lang := flags.String("lang", systemLanguage(os.Getenv), "`language` of the names: zh or en")
	asJSON := flags.Bool("json", false, "answer in JSON")
	if err := parseFlags(t, flags, args, 1); err != nil {
		return err
	}
	if in.Topic == "" || flags.NArg() == 0 {
		fmt.Fprintf(t.err, "fengsui decode: want a topic and a payload\n\n")
		flags.Usage()
		return errUsage
	}
	var err error
	if in.Payload, err = readPayload(t.in, flags.Arg(0)); err != nil {
		return err
	}
	at := time.Now()
	if *received != "" {
		if at, err = time.Parse(time.RFC3339, *received); err != nil {
			return fmt.Errorf("-received %q: want a time such as 2026-06-27T14:32:05+08:00", *received)
		}
	}
	in.Received = at.UnixMilli()
	explanation, err := explain(*path, in)
	if err != nil {
		return err
	}
	if *asJSON {
		out := json.NewEncoder(t.out)
		out.SetIndent("", "  ")
		return out.Encode(explanation)
	}
	printExplanation(t.out, explanation, *lang)
	return nil
}

// explain decodes by what the config and its files say.
func explain(path string, in devices.Incoming) (*devices.Explanation, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	kinds, file, err := readDevices(cfg)
	if err != nil {
		return nil, err
	}
	registry, err := file.Registry(kinds)
	if err != nil {
		return nil, err
	}
	routes, err := readRoutes(cfg, kinds)
	if err != nil {
		return nil, err
	}
	return devices.Explain(registry, routes, in), nil
}

// readPayload takes a payload as it was pasted.
func readPayload(in io.Reader, arg string) ([]byte, error) {
	const most = 16 << 20
	text := []byte(arg)
	var err error
	switch {
	case arg == "-":
		text, err = io.ReadAll(io.LimitReader(in, most))
	case strings.HasPrefix(arg, "@"):
		text, err = os.ReadFile(arg[1:])
	}
	if err != nil {
		return nil, fmt.Errorf("read the payload: %w", err)
	}
	if raw, ok := fromHex(text); ok {
		return raw, nil
	}
	return text, nil
}

// fromHex reads a hexadecimal dump, with or without blanks; what begins as JSON
// does is none.
func fromHex(text []byte) ([]byte, bool) {
	digits := bytes.Join(bytes.Fields(text), nil)
	if len(digits) < 4 || len(digits)%2 == 1 {
		return nil, false
	}
	raw := make([]byte, len(digits)/2)
	if _, err := hex.Decode(raw, digits); err != nil {
		return nil, false
	}
	var number json.Number
	if json.Unmarshal(text, &number) == nil && len(digits) < 16 {
		return nil, false // a short number is a number
	}
	return raw, true
}

// printExplanation tells it to an installer, from the top down: where it goes,
// whose it is, what it says, what is left over, what is wrong.
func printExplanation(w io.Writer, e *devices.Explanation, lang string) {
	words := decodeWords[lang == "en"]
	fmt.Fprintf(w, "%s  %s\n", words.topic, e.Topic)
	printRoutes(w, e, words)
	if e.Mended != "" {
		fmt.Fprintf(w, "%s  %s\n", words.mended, e.Mended)
	}
	for i := range e.Samples {
		printSample(w, &e.Samples[i], words, lang)
	}
	if e.Status != "" {
		fmt.Fprintf(w, "\n%s  %s\n", words.status, e.Status)
	}
	if len(e.Ignored) > 0 {
		fmt.Fprintf(w, "\n%s\n", words.ignored)
		for i, l := range e.Ignored {
			if i == 20 {
				fmt.Fprintf(w, "  … %d\n", len(e.Ignored)-i)
				break
			}
			fmt.Fprintf(w, "  %s = %s\n", l.Path, l.Text)
		}
	}
	for i := range e.Rejections {
		printRejection(w, &e.Rejections[i], e.Text, words)
	}
	fmt.Fprintf(w, "\n%s\n", words.result(e))
}

func printRoutes(w io.Writer, e *devices.Explanation, words *decodeText) {
	switch e.Format {
	case "house":
		fmt.Fprintf(w, "%s  %s\n", words.route, words.house)
		return
	case "none":
		fmt.Fprintf(w, "%s  %s\n", words.route, words.none)
	}
	for _, r := range e.Routes {
		if r.Taken {
			fmt.Fprintf(w, "%s  %s  %s\n", words.route, r.Route, r.Topic)
		}
	}
	for _, r := range e.Routes {
		if !r.Taken {
			fmt.Fprintf(w, "      ✗ %s  %s: %s\n", r.Route, r.Topic, r.Reason)
		}
	}
}

func printSample(w io.Writer, s *devices.ExplainedSample, words *decodeText, lang string) {
	fmt.Fprintf(w, "\n%s  %s  %s (%s)\n", words.device, s.Device, say(lang, s.Name), s.Kind)
	fmt.Fprintf(w, "%s  %s\n", words.time, words.when(s))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range s.Values {
		value := fmt.Sprint(v.Number)
		if v.Says != nil {
			value += " " + say(lang, *v.Says)
		}
		quality := words.quality[v.Quality]
		if v.Over {
			quality += words.over
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", v.Field, value, v.Unit, quality, say(lang, v.Title))
	}
	table.Flush()
}

func printRejection(w io.Writer, r *devices.Rejection, text string, words *decodeText) {
	what := r.Code
	if r.Field != "" {
		what = r.Field + " " + what
	}
	fmt.Fprintf(w, "\n✗ %s: %s\n", what, r.Detail)
	if r.Byte > 0 {
		line, caret := pointAt(text, r.Byte-1)
		fmt.Fprintf(w, "    %s\n    %s^\n", line, strings.Repeat(" ", caret))
	}
	if r.Hint != "" {
		fmt.Fprintf(w, "  → %s\n", r.Hint)
	}
}

// pointAt cuts what surrounds a byte out of a text, and says in which column of
// a terminal the byte then stands.
func pointAt(text string, at int) (line string, column int) {
	const before, after = 48, 32
	at = min(max(at, 0), len(text))
	from, to := max(at-before, 0), min(at+after, len(text))
	for from > 0 && !utf8.RuneStart(text[from]) {
		from--
	}
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to++
	}
	var b strings.Builder
	if from > 0 {
		b.WriteString("…")
		column = 1
	}
	for i, r := range text[from:to] {
		if r < ' ' || r == utf8.RuneError {
			r = '·' // one column, whatever it is
		}
		b.WriteRune(r)
		if from+i < at {
			column += columns(r)
		}
	}
	if to < len(text) {
		b.WriteString("…")
	}
	return b.String(), column
}

// columns is how wide a terminal draws a letter.
func columns(r rune) int {
	if r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe4f || r >= 0xff00 && r <= 0xff60 || r >= 0x20000) {
		return 2
	}
	return 1
}

// decodeText is what decode says besides names and reasons, in one language.
type decodeText struct {
	topic, route, mended, device, time, status, ignored string
	house, none, over                                   string
	noTime, asSaid, arrival                             string
	quality                                             map[string]string
	flags                                               map[string]string
	classes                                             map[string]string
}

// decodeWords are the words, by whether they are English.
var decodeWords = map[bool]*decodeText{
	false: {
		topic: "主题", route: "路由", mended: "修复", device: "设备", time: "时间", status: "在线状态", ignored: "未使用的内容",
		house: "标准格式，不经路由", none: "没有路由匹配该主题，也不是标准格式主题", over: "，超量程，按最高级处理",
		noTime: "报文无时间，采用到达时间 %s", asSaid: "%s，按设备时间", arrival: "设备时间 %s 不可信，采用到达时间 %s",
		quality: map[string]string{"good": "良好", "suspect": "可疑", "bad": "无效"},
		flags:   map[string]string{"history": "历史数据", "clock_suspect": "时钟错误", "too_late": "迟到，不参与判级", "backfill": "补报", "unjudged": "设备停用，不判级"},
		classes: map[string]string{"accepted": "结果：已接收", "duplicate": "结果：重复", "quarantined": "结果：整条隔离，未产生任何读数"},
	},
	true: {
		topic: "topic ", route: "route ", mended: "mended", device: "device", time: "time  ", status: "status", ignored: "not used",
		house: "the gateway's own format, no route needed", none: "no route takes this topic, and it is none of the gateway's own", over: ", over range: counts as the worst level",
		noTime: "none in the payload, so that of its arrival: %s", asSaid: "%s, as the device says", arrival: "the device says %s, which cannot be; that of its arrival: %s",
		quality: map[string]string{"good": "good", "suspect": "suspect", "bad": "bad"},
		flags:   map[string]string{"history": "history", "clock_suspect": "clock wrong", "too_late": "too late to be judged", "backfill": "back-fill", "unjudged": "out of service, not judged"},
		classes: map[string]string{"accepted": "accepted", "duplicate": "a duplicate", "quarantined": "quarantined as a whole: no reading comes of it"},
	},
}

// when tells of a sample's time.
func (t *decodeText) when(s *devices.ExplainedSample) string {
	show := func(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05.999 -07:00") }
	text := fmt.Sprintf(t.noTime, show(s.Used))
	switch {
	case s.Said != nil && s.Said.Equal(s.Used):
		text = fmt.Sprintf(t.asSaid, show(s.Used))
	case s.Said != nil:
		text = fmt.Sprintf(t.arrival, show(*s.Said), show(s.Used))
	}
	for _, f := range s.Flags {
		text += " · " + t.flags[f]
	}
	return text
}

// result sums up.
func (t *decodeText) result(e *devices.Explanation) string {
	values := 0
	for i := range e.Samples {
		values += len(e.Samples[i].Values)
	}
	text := t.classes[e.Class]
	if values > 0 {
		text += fmt.Sprintf(" · %d ✓", values)
	}
	if len(e.Rejections) > 0 {
		text += fmt.Sprintf(" · %d ✗", len(e.Rejections))
	}
	return text
}
