package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

// verbs are the words behind a subcommand that talks to the running gateway:
// "fengsui device add", "fengsui user list".
type verbs map[string]func(ctx context.Context, c *call) error

// call is one such command line.
type call struct {
	terminal
	flags  *flag.FlagSet
	config *string
	rest   []string // not yet parsed
	reach  reach    // of the gateway
}

// run carries out the verb that args begin with.
func (v verbs) run(ctx context.Context, t terminal, subject, usage string, args []string) error {
	if len(args) == 0 || v[args[0]] == nil {
		fmt.Fprint(t.err, usage)
		return errUsage
	}
	flags := flag.NewFlagSet(subject+" "+args[0], flag.ContinueOnError)
	c := &call{terminal: t, flags: flags, rest: args[1:]}
	c.config = flags.String("config", "fengsui.yaml", "config `file` of the running gateway")
	flags.Usage = func() {
		fmt.Fprintf(t.err, "%s\n", lineOf(usage, subject+" "+args[0]))
		flags.PrintDefaults()
	}
	return v[args[0]](ctx, c)
}

// lineOf is the line of a usage text that is about one verb.
func lineOf(usage, words string) string {
	for line := range strings.Lines(usage) {
		if strings.HasPrefix(line, "fengsui "+words+" ") {
			return strings.TrimRight(line, "\n")
		}
	}
	return "fengsui " + words
}

// client parses the flags, of which all are declared, wants so many arguments
// behind them, and finds the gateway.
func (c *call) client(arguments int) (*apiClient, error) {
	if err := parseFlags(c.terminal, c.flags, c.rest, arguments); err != nil {
		return nil, err
	}
	if missing := arguments - c.flags.NArg(); missing > 0 {
		fmt.Fprintf(c.err, "fengsui %s: %d arguments are missing\n\n", c.flags.Name(), missing)
		c.flags.Usage()
		return nil, errUsage
	}
	cfg, err := loadConfig(*c.config)
	if err != nil {
		return nil, err
	}
	c.reach = cfg.reach()
	return newAPIClient(cfg)
}

// arg is an argument behind the flags.
func (c *call) arg(n int) string { return c.flags.Arg(n) }
