package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// runStages runs all parts until ctx ends or one of them fails. It stops them
// stage by stage, first to last, each only when the one before has ended: what
// brings data in goes first, what is still needed to finish it goes last.
func runStages(ctx context.Context, logger *slog.Logger, stages ...[]part) error {
	failed := make(chan error, 1)
	stops := make([]func(), len(stages))
	var all error
	var mu sync.Mutex
	for i := len(stages) - 1; i >= 0; i-- {
		stageCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		var running sync.WaitGroup
		for _, p := range stages[i] {
			running.Go(func() {
				err := p.run(stageCtx)
				if err == nil || (stageCtx.Err() != nil && errors.Is(err, context.Canceled)) {
					return
				}
				err = fmt.Errorf("%s: %w", p.name, err)
				mu.Lock()
				all = errors.Join(all, err)
				mu.Unlock()
				select {
				case failed <- err:
				default:
				}
			})
		}
		stops[i] = func() { cancel(); running.Wait() }
	}
	select {
	case <-ctx.Done():
	case err := <-failed:
		logger.Error("stopping, a part failed", "error", err)
	}
	for _, stop := range stops {
		stop()
	}
	return all
}
