package main

import (
	"bufio"
	"context"
	cryptorand "crypto/rand"
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
	return verbs{"add": userAdd, "remove": userRemove, "list": userList}.run(ctx, t, "user", userUsage, args)
}

// userAdd makes up a password unless one is given on standard input: never on
// the command line, where others on the machine can read it.
func userAdd(ctx context.Context, c *call) error {
	role := c.flags.String("role", "viewer", "viewer, operator or admin")
	stdin := c.flags.Bool("password-stdin", false, "read the password from standard input instead of making one up")
	client, err := c.client(1)
	if err != nil {
		return err
	}
	password := strings.ToLower(cryptorand.Text()[:16])
	if *stdin {
		line, err := bufio.NewReader(c.in).ReadString('\n')
		if err != nil && line == "" {
			return fmt.Errorf("read the password from standard input: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	body := map[string]string{"name": c.arg(0), "role": *role, "password": password}
	if err := client.call(ctx, "POST", "/users", body, nil); err != nil {
		return fmt.Errorf("add %s: %w", c.arg(0), err)
	}
	fmt.Fprintf(c.out, "%s may sign in as %s\n", c.arg(0), *role)
	if !*stdin {
		fmt.Fprintf(c.out, "  password  %s   (shown this once)\n", password)
	}
	return nil
}

func userRemove(ctx context.Context, c *call) error {
	client, err := c.client(1)
	if err != nil {
		return err
	}
	return client.call(ctx, "DELETE", "/users/"+url.PathEscape(c.arg(0)), nil, nil)
}

func userList(ctx context.Context, c *call) error {
	client, err := c.client(0)
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
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
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
