package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"fengsui/sinks/console"
)

const quarantineUsage = `fengsui quarantine list [flags]     why messages are in quarantine, by reason and topic
fengsui quarantine replay [flags]   judge them once more, by the decoders and the registry of now

The flags choose: -site -device -code -source -topic -from -to. Each takes -config FILE
and talks to the gateway that runs with it.
`

// runQuarantine is "fengsui quarantine".
func runQuarantine(ctx context.Context, t terminal, args []string) error {
	return verbs{"list": quarantineList, "replay": quarantineReplay}.run(ctx, t, "quarantine", quarantineUsage, args)
}

// filter declares the flags that choose messages.
func (c *call) filter() fields {
	f := fields{}
	f.text(c, "site", "site", "only this `site`")
	f.text(c, "device", "device", "only this `device` of the site")
	f.text(c, "code", "code", "only this `code`, such as unknown_field")
	f.text(c, "source", "source", "only this `source`")
	f.text(c, "topic", "topic", "only this `topic`")
	f.text(c, "from", "from", "received from this `time` on, such as 2026-06-27T06:45:00Z")
	f.text(c, "to", "to", "received before this `time`")
	return f
}

func quarantineList(ctx context.Context, c *call) error {
	filter := c.filter()
	client, err := c.client(0)
	if err != nil {
		return err
	}
	query := url.Values{}
	for key, value := range filter {
		query.Set(key, fmt.Sprint(value))
	}
	var list struct {
		Reasons []struct {
			Code, Topic, Detail, Hint string
			Count                     int
			Last                      time.Time
		}
		console.Reach
	}
	for list.Searching = true; list.Searching; c.searching(list.Reach) {
		if err := client.call(ctx, "GET", "/quarantine/reasons?"+query.Encode(), nil, &list); err != nil {
			return fmt.Errorf("list the quarantine: %w", err)
		}
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COUNT\tCODE\tTOPIC\tLAST\tDETAIL\tHINT")
	for _, r := range list.Reasons {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Count, r.Code, r.Topic, r.Last.Local().Format(time.DateTime), r.Detail, r.Hint)
	}
	if list.Since != 0 {
		fmt.Fprintf(c.err, "these are the newest 10,000, since %s\n", time.UnixMilli(int64(list.Since)).Format(time.DateTime))
	}
	return table.Flush()
}

// searching says how far back the log was searched, unless that is done.
func (c *call) searching(r console.Reach) {
	if r.Searching {
		fmt.Fprintf(c.err, "searching the log for older ones: back to %s so far\n", time.UnixMilli(int64(r.Since)).Format(time.DateTime))
	}
}

// quarantineReplay replays chunk by chunk and shows how far it is.
func quarantineReplay(ctx context.Context, c *call) error {
	order := c.filter()
	client, err := c.client(0)
	if err != nil {
		return err
	}
	var sum console.Replay
	for {
		var chunk struct {
			console.Replay
			Next uint64
			Left int
			console.Reach
		}
		if err := client.call(ctx, "POST", "/quarantine/replay", order, &chunk); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		if c.searching(chunk.Reach); chunk.Searching {
			continue
		}
		sum.Accepted += chunk.Accepted
		sum.Duplicate += chunk.Duplicate
		sum.Repeated += chunk.Repeated
		sum.Gone += chunk.Gone
		for code, n := range chunk.Quarantined {
			for range n {
				sum.Count("quarantined", code)
			}
		}
		if chunk.Next == 0 {
			break
		}
		fmt.Fprintf(c.err, "%d taken, %d to go\n", sum.Accepted, chunk.Left)
		order["after"] = chunk.Next
	}
	fmt.Fprintf(c.out, "%d taken, %d had nothing new, %d were replayed before\n", sum.Accepted, sum.Duplicate, sum.Repeated)
	if sum.Gone > 0 {
		fmt.Fprintf(c.out, "%d are no longer in the log and cannot be replayed (journal.keep)\n", sum.Gone)
	}
	if len(sum.Quarantined) > 0 {
		var still []string
		for _, code := range slices.Sorted(maps.Keys(sum.Quarantined)) {
			still = append(still, fmt.Sprintf("%s %d", code, sum.Quarantined[code]))
		}
		fmt.Fprintf(c.out, "still in quarantine: %s\n", strings.Join(still, ", "))
	}
	return nil
}
