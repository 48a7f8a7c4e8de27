package main

import (
	"context"
	"fmt"
	"time"

	"fengsui/devices"
)

// onboarding is the API's answer on how far a device has come.
type onboarding struct {
	Steps []onboardingStep
}

type onboardingStep struct {
	Step         string
	Done         bool
	Time         *time.Time
	Reason, Hint devices.Text
}

// watchEach is how often the gateway is asked.
const watchEach = 500 * time.Millisecond

// deviceWatch prints each step of a device as it happens, and what keeps it from
// the next, until all are done: for whoever stands in front of it.
func deviceWatch(ctx context.Context, c *call) error {
	english := c.flags.Bool("en", false, "in English")
	once := c.flags.Bool("once", false, "say how it stands now, and end; status 1 where a step is missing")
	client, err := c.client(2)
	if err != nil {
		return err
	}
	target := devicePath(c.arg(0), c.arg(1)) + "/onboarding"
	said := map[string]string{}
	for {
		var now onboarding
		if err := client.call(ctx, "GET", target, nil, &now); err != nil {
			return fmt.Errorf("watch %s/%s: %w", c.arg(0), c.arg(1), err)
		}
		done := c.tell(now, said, *english)
		switch {
		case done:
			return nil
		case *once:
			return errFailed
		}
		select {
		case <-time.After(watchEach):
		case <-ctx.Done():
			return errFailed
		}
	}
}

// tell prints the steps that changed since they were said, down to the first one
// that is missing, and reports whether none is.
func (c *call) tell(now onboarding, said map[string]string, english bool) (done bool) {
	for _, s := range now.Steps {
		mark, text := "…", s.text(english)
		if s.Done {
			mark = "✓"
		}
		if news := mark + text; said[s.Step] != news {
			said[s.Step] = news
			fmt.Fprintf(c.out, "%s %s  %-13s  %s\n", mark, s.clock(), s.Step, text)
		}
		if !s.Done {
			return false
		}
	}
	return len(now.Steps) > 0
}

func (s *onboardingStep) text(english bool) string {
	reason, hint := s.Reason.ZH, s.Hint.ZH
	if english {
		reason, hint = s.Reason.EN, s.Hint.EN
	}
	if hint == "" {
		return reason
	}
	return fmt.Sprintf("%s\n%27s→ %s", reason, "", hint)
}

func (s *onboardingStep) clock() string {
	if s.Time == nil {
		return "        "
	}
	return s.Time.Local().Format(time.TimeOnly)
}
