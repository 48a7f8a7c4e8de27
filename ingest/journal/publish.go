package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	publishTimeout = 5 * time.Second
	publishTries   = 3
)

// Codes of the server's refusals. Whatever it refuses, it has not written.
const (
	codeAccountFull    jetstream.ErrorCode = 10002
	codeServerFull     jetstream.ErrorCode = 10023
	codeStorageFull    jetstream.ErrorCode = 10047
	codeWrongLast      jetstream.ErrorCode = 10071
	codeWrongLastOther jetstream.ErrorCode = 10164 // the same, from a replicated stream
	codeIncomplete     jetstream.ErrorCode = 10176 // of a batch that could not be staged
	codeTooManyBatches jetstream.ErrorCode = 10210
)

// errOvertaken says that the stream's end was not where it was expected.
var errOvertaken = errors.New("the log has moved on")

// errNotStaged says that the server could not take a batch, and does not say why.
var errNotStaged = errors.New("the batch could not be staged")

// publish appends m to its stream, whose last sequence must be as opts say, and
// returns when it is on disk.
func (e *engine) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	return e.insist(ctx, func(ctx context.Context, _ int) (*jetstream.PubAck, error) {
		return e.js.PublishMsg(ctx, m, opts...)
	})
}

// insist calls send, which publishes, until there is an answer. The server does
// not answer a write it cannot make, so that after a time-out the outcome is
// unknown; the same is then sent again, and the expected sequence lets at most
// one of them in: errOvertaken says that an earlier one may have been.
func (e *engine) insist(ctx context.Context, send func(ctx context.Context, try int) (*jetstream.PubAck, error)) (uint64, error) {
	for try := 1; ; try++ {
		var ack *jetstream.PubAck
		err := e.limited(ctx, func(ctx context.Context) (err error) {
			ack, err = send(ctx, try)
			return err
		})
		if err == nil {
			return ack.Sequence, nil
		}
		if try < publishTries && e.unanswered(ctx, err) {
			e.retries.Add(1)
			continue
		}
		return 0, e.explain(ctx, err)
	}
}

// limited calls fn, which writes, with a context that ends in time and as soon as
// the disk refuses a write.
func (e *engine) limited(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	defer context.AfterFunc(e.said.bad, cancel)()
	return fn(ctx)
}

// unanswered reports whether a write may yet succeed when it is sent again.
func (e *engine) unanswered(ctx context.Context, err error) bool {
	var refused *jetstream.APIError
	return !errors.As(err, &refused) && ctx.Err() == nil && e.said.bad.Err() == nil && !errors.Is(err, nats.ErrConnectionClosed)
}

// explain puts the failure of a write into this package's words.
func (e *engine) explain(ctx context.Context, err error) error {
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refusal(refused)
	case e.said.bad.Err() != nil:
		return fmt.Errorf("%w: %w", ErrDisk, context.Cause(e.said.bad))
	case errors.Is(err, nats.ErrConnectionClosed):
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: no answer from the store: %w", ErrDisk, err)
}

// refusal puts the server's refusal into this package's words.
func refusal(err *jetstream.APIError) error {
	switch err.ErrorCode {
	case codeWrongLast, codeWrongLastOther:
		return fmt.Errorf("%w: %w", errOvertaken, err)
	case codeIncomplete, codeTooManyBatches:
		return fmt.Errorf("%w: %w", errNotStaged, err)
	case codeAccountFull, codeServerFull, codeStorageFull:
		return fmt.Errorf("%w: the store's limit is reached: %w", ErrFull, err)
	}
	return fmt.Errorf("refused by the store: %w", err)
}
