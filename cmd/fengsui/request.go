package main

import (
	"context"
	"errors"

	"fengsui/rules/alarms"
)

// request is something a person or the operator wants of the judge; it goes
// ahead of readings and is answered when its events are on disk.
type request struct {
	do     func(ctx context.Context) error
	answer chan error
}

// Do runs f in the judge's goroutine, ahead of readings.
func (j *judge) Do(ctx context.Context, f func(ctx context.Context) error) error {
	r := request{do: f, answer: make(chan error, 1)}
	select {
	case j.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errFatal marks an error of a request after which the judge must not go on:
// what it holds in memory and what is on disk may differ.
var errFatal = errors.New("the alarm log did not take an event")

func (j *judge) serve(ctx context.Context, r request) error {
	err := j.flush(ctx)
	if err != nil {
		err = errors.Join(errFatal, err)
	} else {
		err = r.do(ctx)
	}
	r.answer <- err
	if errors.Is(err, errFatal) {
		return err
	}
	return nil
}

// Command carries out what a person wants of an alarm; the answer comes when
// the event is on disk.
func (j *judge) Command(ctx context.Context, c alarms.Command) ([]alarms.Event, error) {
	var events []alarms.Event
	err := j.Do(ctx, func(ctx context.Context) (err error) {
		j.clock = max(j.clock, j.Now().UnixMilli())
		if events, err = j.Book.Command(c, j.cause()); err != nil {
			return err
		}
		if len(events) > 0 && events[0].Seq != 0 {
			return nil // the first answer to a command that came again
		}
		if err := j.record(ctx, events); err != nil {
			return errors.Join(errFatal, err)
		}
		return nil
	})
	return events, err
}
