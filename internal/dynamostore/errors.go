package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// What may be wrong with a call. An error of the server, or on the way to it, is a *ServerError.
var (
	// ErrNoLimit says that no limit was given and the key has none.
	ErrNoLimit = pacer.ErrNoLimit
	// ErrUnit says that the limit given counts bytes and the one stored something else, or the other way round.
	ErrUnit = pacer.ErrUnit
	// ErrFull is what a *pacer.FullError is: as many wait as may, or as there is room for in an item.
	ErrFull = pacer.ErrFull
	// ErrClosed says that the Store was closed, or the reservation cancelled.
	ErrClosed = errors.New("store is closed")
	// ErrNoState is pacer.ErrNoState: the key has no state.
	ErrNoState = pacer.ErrNoState
	// ErrForeign says that the item of the key is none of ours, or that of a newer version. It is left alone.
	ErrForeign = errors.New("what is stored is not the state of a key, or that of a newer version")
	// ErrChanged says that a document is another one than was thought.
	ErrChanged = errors.New("somebody else has changed it")

	errLarge = errors.New("sliding windows of so many events do not fit into an item of DynamoDB, which has 400 KB")
	errDial  = errors.New("nothing is given to reach DynamoDB with")
)

// A LateError is a pacer.LateError: a slot would have come later than one was ready to wait for it.
type LateError = pacer.LateError

// A ConflictError is a pacer.ConflictError, a warning: the limits given are not those stored.
type ConflictError = pacer.ConflictError

// A DamageError is a warning: the state can't be gone on with as it is. What was granted is made up for by an empty bucket, so that the
// limit is not exceeded.
type DamageError struct {
	Server string
	What   string
}

func (e *DamageError) Error() string { return fmt.Sprintf("store %s: %s", e.Server, e.What) }

// A ServerError is an error of DynamoDB, or on the way to it.
type ServerError struct {
	Server string // the URL of the table
	Err    error
}

func (e *ServerError) Error() string { return fmt.Sprintf("store %s: %v", e.Server, e.Err) }

func (e *ServerError) Unwrap() error { return e.Err }

// An awayError says that the server may be back later.
type awayError struct{ error }

func (e *awayError) Unwrap() error { return e.error }

// IsAway reports whether an error says that DynamoDB can't be reached, or has no time for us, which may pass.
func IsAway(err error) bool {
	var away *awayError
	if errors.As(err, &away) {
		return true
	}
	var e *RequestError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case CodeNetwork, "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "Throttling",
		"InternalServerError", "InternalFailure", "ServiceUnavailable", "TransactionConflictException", "ReplicatedWriteConflictException":
		return true
	}
	return e.Status >= 500
}

// named returns an error of a request with the table, and with what to do about it where that is known.
func (c *conn) named(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &ServerError{c.name, &awayError{errors.New("no answer within " + c.timeout.String())}}
	}
	var e *RequestError
	if errors.As(err, &e) {
		if advice := adviceFor(e, c.at); advice != "" {
			err = fmt.Errorf("%w\n%s", err, advice)
		}
	}
	return &ServerError{c.name, err}
}

// adviceFor returns what to do about an error, "" if that is not known.
func adviceFor(e *RequestError, at Address) string {
	switch {
	case e.Code == "ResourceNotFoundException":
		return fmt.Sprintf("there is no table %q there: `throttle store init %q` makes it; or another region or account is meant", at.Table, at)
	case e.Code == CodeRegion:
		return fmt.Sprintf("say region=... in the URL, %s, or set AWS_REGION", example)
	case e.Code == CodeCredentials:
		return "say profile=... in the URL, set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in: aws sso login"
	case e.Code == "UnrecognizedClientException", e.Code == "InvalidSignatureException", e.Code == "InvalidClientTokenId":
		return "the access key is not known there, or its secret is another one, or the clock of this host is far off"
	case strings.Contains(e.Code, "ExpiredToken"):
		return "the credentials have expired: log in again"
	case strings.Contains(e.Code, "AccessDenied"):
		return "the user or role needs the policy that `throttle store init` prints"
	case e.Code == "ValidationException" && (strings.Contains(e.Message, "key element") || strings.Contains(e.Message, "schema") ||
		strings.Contains(e.Message, "missing keys")):
		return fmt.Sprintf("the table is one for something else: throttle wants one with the partition key %q, a string, and no sort key", attrKey)
	}
	return ""
}

// A conn is a connection to a table.
type conn struct {
	client  Client
	at      Address
	name    string // its URL
	timeout time.Duration
	clock   *clock
}

// do does a request. It returns when it was sent, on the clock of the host. An error is a *ServerError, or the cause of ctx.
func (c *conn) do(ctx context.Context, r Request) (_ Response, sent time.Time, err error) {
	if err := context.Cause(ctx); err != nil {
		return Response{}, time.Time{}, err
	}
	bound, stop := context.WithTimeout(ctx, c.timeout)
	defer stop()
	sent = c.clock.now()
	response, err := c.client.Do(bound, r)
	c.clock.hear(response.Date, sent, c.clock.now())
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case bound.Err() != nil:
		err = c.named(bound.Err())
	default:
		err = c.named(err)
	}
	return response, sent, err
}

const defaultTimeout = 5 * time.Second

// connect connects to the table of a URL.
func connect(ctx context.Context, address string, dial Dial, timeout time.Duration, now func() time.Time) (*conn, error) {
	at, err := ParseURL(address)
	if err != nil {
		return nil, err
	}
	if dial == nil {
		return nil, errDial
	}
	if now == nil {
		now = time.Now
	}
	c := &conn{at: at, name: at.String(), timeout: orElse(timeout, defaultTimeout), clock: newClock(now)}
	bound, stop := context.WithTimeout(ctx, c.timeout)
	defer stop()
	c.client, err = dial(bound, at)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bound.Err() != nil:
		err = bound.Err()
	}
	return nil, c.named(err)
}
