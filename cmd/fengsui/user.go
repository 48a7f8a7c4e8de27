package main

import (
	"bufio"
	"context"
	cryptorand "crypto/rand"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

const userUsage = `fengsui user add -role ROLE NAME      add a person; ROLE is viewer, operator or admin
fengsui user remove NAME              remove a person and end their sessions
fengsui user list                     who may sign in

Each takes -config FILE and talks to the gateway that runs with it.
`

// runUser is "fengsui user".
func runUser(ctx context.Context, t terminal, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(t.err, userUsage)
		return errUsage
	}
	flags := flag.NewFlagSet("user "+args[0], flag.ContinueOnError)
	path := flags.String("config", "fengsui.yaml", "config `file` of the running gateway")
	switch verb, rest := args[0], args[1:]; verb {
	case "add":
		return userAdd(ctx, t, flags, path, rest)
	case "remove":
		client, err := newClient(t, flags, path, rest, 1)
		if err != nil {
			return err
		}
		return client.call(ctx, "DELETE", "/users/"+url.PathEscape(flags.Arg(0)), nil, nil)
	case "list":
		return userList(ctx, t, flags, path, rest)
	default:
		fmt.Fprint(t.err, userUsage)
		return errUsage
	}
}

// userAdd makes up a password unless one is given on standard input: never on
// the command line, where others on the machine can read it.
func userAdd(ctx context.Context, t terminal, flags *flag.FlagSet, path *string, args []string) error {
	role := flags.String("role", "viewer", "viewer, operator or admin")
	stdin := flags.Bool("password-stdin", false, "read the password from standard input instead of making one up")
	client, err := newClient(t, flags, path, args, 1)
	if err != nil {
		return err
	}
	password := strings.ToLower(cryptorand.Text()[:16])
	if *stdin {
		line, err := bufio.NewReader(t.in).ReadString('\n')
		if err != nil && line == "" {
			return fmt.Errorf("read the password from standard input: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	body := map[string]string{"name": flags.Arg(0), "role": *role, "password": password}
	if err := client.call(ctx, "POST", "/users", body, nil); err != nil {
		return fmt.Errorf("add %s: %w", flags.Arg(0), err)
	}
	fmt.Fprintf(t.out, "%s may sign in as %s\n", flags.Arg(0), *role)
	if !*stdin {
		fmt.Fprintf(t.out, "  password  %s   (shown this once)\n", password)
	}
	return nil
}

func userList(ctx context.Context, t terminal, flags *flag.FlagSet, path *string, args []string) error {
	client, err := newClient(t, flags, path, args, 0)
	if err != nil {
		return err
	}
	var list struct {
		Users []struct {
			Name, Role string
			LastLogin  *time.Time `json:"last_login"`
		}
	}
	if err := client.call(ctx, "GET", "/users", nil, &list); err != nil {
		return fmt.Errorf("list users: %w", err)
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tLAST LOGIN")
	for _, u := range list.Users {
		last := "never"
		if u.LastLogin != nil {
			last = u.LastLogin.Local().Format(time.DateTime)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", u.Name, u.Role, last)
	}
	return table.Flush()
}
