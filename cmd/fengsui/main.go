// Command fengsui is the gateway: it takes what devices send over MQTT, keeps
// it, judges it, writes it to InfluxDB and puts alarms on the console.
//
// Start reading at judge.go, the spine; app.go wires the parts together; every
// subcommand has a file of its own; the keys of the config file are documented
// in [Config].
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"fengsui/devices"
)

const usage = `fengsui watches what devices report over MQTT and raises alarms.

  fengsui demo                     a simulated county, everything embedded, in seconds
  fengsui init [FOLDER]            write a config, devices and rules to start from
  fengsui check -config FILE       find mistakes in config, devices, kinds and rules
  fengsui test [-config FILE]      run the tests of the rules
  fengsui run -config FILE         run the gateway
  fengsui device add|set|watch|…    devices and their passwords
  fengsui site add|set|show|list|… sites, whom to call and what to do there
  fengsui quarantine list|replay   messages nobody could read, and once more
  fengsui user add|list|remove     people and their roles
  fengsui cert [NAME…]             a certificate for HTTPS and MQTT over TLS
  fengsui notify test NAME         send a test message to an endpoint
  fengsui decode -topic T PAYLOAD  what a payload becomes, and why
  fengsui simulate -broker URL     publish as the demo's devices to any broker
  fengsui version

"fengsui COMMAND -h" shows the flags of a command.
`

// console is what a subcommand talks to; tests give it buffers.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// commands are the words that usage tells of, for guesses at what was meant.
func commands() []string {
	words := []string{"help"}
	for line := range strings.Lines(usage) {
		if rest, ok := strings.CutPrefix(line, "  fengsui "); ok {
			words = append(words, strings.Fields(rest)[0])
		}
	}
	return words
}

// errUsage asks for exit status 2; its text was already shown.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, terminal{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// execute runs one command line and returns its exit status.
func execute(ctx context.Context, t terminal, args []string) int {
	err := dispatch(ctx, t, args)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, errFailed):
		return 1
	default:
		fmt.Fprintln(t.err, "fengsui:", err)
		return 1
	}
}

func dispatch(ctx context.Context, t terminal, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(t.err, usage)
		return errUsage
	}
	switch command, rest := args[0], args[1:]; command {
	case "demo":
		return runDemo(ctx, t, rest)
	case "run":
		return runGateway(ctx, t, rest)
	case "init":
		return runInit(t, rest)
	case "check":
		return runCheck(t, rest)
	case "test":
		return runTest(t, rest)
	case "device":
		return runDevice(ctx, t, rest)
	case "quarantine":
		return runQuarantine(ctx, t, rest)
	case "site":
		return runSite(ctx, t, rest)
	case "user":
		return runUser(ctx, t, rest)
	case "cert":
		return runCert(t, rest)
	case "notify":
		return runNotify(ctx, t, rest)
	case "decode":
		return runDecode(t, rest)
	case "simulate":
		return runSimulate(ctx, t, rest)
	case "version":
		fmt.Fprintln(t.out, "fengsui", version())
		return nil
	case "help", "-h", "-help", "--help":
		fmt.Fprint(t.out, usage)
		return nil
	default:
		near := devices.Nearest(command, commands())
		if near != "" {
			near = ", did you mean " + near + "?"
		}
		fmt.Fprintf(t.err, "fengsui: there is no command %q%s\n\n%s", command, near, usage)
		return errUsage
	}
}

// parseFlags parses a subcommand's flags; what is left over is an error unless
// positional arguments are wanted.
func parseFlags(t terminal, flags *flag.FlagSet, args []string, positional int) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	flags.SetOutput(t.err)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.Usage()
		return err
	case err != nil:
		fmt.Fprintf(t.err, "fengsui %s: %v%s; fengsui %s -h shows its flags\n", flags.Name(), err, guess(err, flags), flags.Name())
		return errUsage
	case flags.NArg() > positional:
		fmt.Fprintf(t.err, "fengsui %s: unexpected %q; flags go before it\n", flags.Name(), flags.Arg(positional))
		return errUsage
	}
	return nil
}

// guess says which flag one that does not exist was probably meant to be.
func guess(err error, flags *flag.FlagSet) string {
	_, wrong, ok := strings.Cut(err.Error(), "flag provided but not defined: -")
	if !ok {
		return ""
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := devices.Nearest(strings.TrimPrefix(wrong, "-"), names); near != "" {
		return ", did you mean -" + near + "?"
	}
	return ""
}

func newLogger(w io.Writer, level string) *slog.Logger {
	l, err := logLevel(level)
	if err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
}

func logLevel(word string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(word))); err != nil {
		return l, fmt.Errorf("%q is no log level; want debug, info, warn or error", word)
	}
	return l, nil
}
