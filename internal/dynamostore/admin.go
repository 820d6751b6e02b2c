package dynamostore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Keys returns the keys that have a state in a table, in order. It reads all of the table.
func Keys(ctx context.Context, address string, dial Dial) ([]string, error) {
	c, err := connect(ctx, address, dial, 0, nil)
	if err != nil {
		return nil, err
	}
	defer c.client.Close() //nolint:errcheck // nothing is lost with it
	return c.list(ctx, keyPrefix)
}

// list returns what follows a prefix in the keys that have it, in order.
func (c *conn) list(ctx context.Context, prefix string) (keys []string, err error) {
	for r := (Request{Op: OpScan, Key: prefix}); ; {
		page, _, err := c.do(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, k := range page.Keys {
			if name, ok := strings.CutPrefix(k, prefix); ok {
				keys = append(keys, name)
			}
		}
		if r.Start = page.Next; r.Start == "" {
			break
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// A Report is what Check has found.
type Report struct {
	Server    string        // the URL of the table
	Region    string        // where it is
	RoundTrip time.Duration // of a read, the shortest of a few
	// What the clock of this host is ahead of the server's, at the least and at the most; both are zero where the server tells no time.
	AheadLeast, AheadMost time.Duration
	Problems              []Problem
}

// A Problem is one that Check has found.
type Problem struct {
	What    string
	Do      string // what to do about it
	Serious bool   // the store can't be used
}

const (
	checkReads = 8
	checkEvery = 130 * time.Millisecond // in all a second, so that the clocks are compared to about that
	skewNoted  = 250 * time.Millisecond
)

// Check connects to a table and says what is missing. It writes an item of its own and deletes it. The error is that the URL is none, or ctx
// has ended: what is wrong with the table is in the Report.
func Check(ctx context.Context, address string, dial Dial) (Report, error) {
	at, err := ParseURL(address)
	if err != nil {
		return Report{}, err
	}
	report := Report{Server: at.String()}
	c, err := connect(ctx, address, dial, 0, nil)
	if err == nil {
		defer c.client.Close() //nolint:errcheck // nothing is lost with it
		err = c.check(ctx, &report)
	}
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	if err != nil {
		report.wrong(err, true)
	}
	return report, nil
}

// wrong adds an error to a report.
func (r *Report) wrong(err error, serious bool) {
	var server *ServerError
	if errors.As(err, &server) {
		err = server.Err
	}
	what, do, _ := strings.Cut(err.Error(), "\n")
	r.Problems = append(r.Problems, Problem{What: what, Do: do, Serious: serious})
}

func (c *conn) check(ctx context.Context, report *Report) error {
	table, _, err := c.do(ctx, Request{Op: OpDescribe})
	var e *RequestError
	switch {
	case err == nil:
		report.Region = table.Table.Region
		if report.shape(table.Table) {
			return nil
		}
	case errors.As(err, &e) && strings.Contains(e.Code, "AccessDenied"): // it may do without
		report.Problems = append(report.Problems, Problem{
			What: "how the table is made can't be looked at: dynamodb:DescribeTable is not allowed", Do: "`throttle store init` prints the policy",
		})
	default:
		return err
	}
	const key = "check:"
	for i := range checkReads {
		_, sent, err := c.do(ctx, Request{Op: OpGet, Key: key})
		if err != nil {
			return err
		}
		if trip := c.clock.now().Sub(sent); i == 0 || trip < report.RoundTrip {
			report.RoundTrip = trip
		}
		if err := sleep(ctx, checkEvery); err != nil {
			return err
		}
	}
	report.AheadLeast, report.AheadMost, _ = c.clock.skew()
	if report.AheadLeast > skewNoted || report.AheadMost < -skewNoted {
		report.Problems = append(report.Problems, Problem{
			What: fmt.Sprintf("the clock of this host is wrong by %v or more", max(report.AheadLeast, -report.AheadMost).Round(time.Millisecond)),
			Do:   "have it synchronized (NTP): until then throttle corrects it to about a second",
		})
	}
	version := Bytes([]byte("check"))
	if _, _, err := c.do(ctx, Request{Op: OpUpdate, Key: key, Set: map[string]Value{attrVersion: version}}); err != nil {
		return err
	}
	if _, _, err := c.do(ctx, Request{Op: OpDelete, Key: key, If: map[string]*Value{attrVersion: &version}}); err != nil {
		report.wrong(err, false)
	}
	if _, err := c.list(ctx, "check:"); err != nil {
		report.wrong(err, false)
	}
	return nil
}

// shape says what is wrong with how the table is made, and reports whether it can't be used.
func (r *Report) shape(t TableInfo) (useless bool) {
	switch {
	case t.Keys != attrKey+":S":
		r.Problems = append(r.Problems, Problem{
			What: fmt.Sprintf("the table has the key %s: it is one for something else", t.Keys), Serious: true,
			Do: fmt.Sprintf("use another one, with the partition key %q, a string, and no sort key: `throttle store init` makes it", attrKey),
		})
		return true
	case t.Status != "ACTIVE" && t.Status != "UPDATING":
		r.Problems = append(r.Problems, Problem{What: "the table is " + t.Status, Do: "wait", Serious: true})
		return true
	}
	switch t.Expires {
	case attrExpires:
	case "?":
		r.Problems = append(r.Problems, Problem{
			What: "the server does not say whether items expire: if not, those of keys that nobody uses stay", Do: "allow dynamodb:DescribeTimeToLive",
		})
	default:
		r.Problems = append(r.Problems, Problem{
			What: fmt.Sprintf("items do not expire by the attribute %q: those of keys that nobody uses stay", attrExpires), Do: "`throttle store init` sets it",
		})
	}
	return false
}

// activeEvery is how often it is looked whether a table that was created is there.
const activeEvery = 500 * time.Millisecond

// Init makes the table of a URL, with on-demand billing, and has items expire by their attribute. One that is there and right stays as it
// is; one that is for something else is an error.
func Init(ctx context.Context, address string, dial Dial) error {
	c, err := connect(ctx, address, dial, 0, nil)
	if err != nil {
		return err
	}
	defer c.client.Close() //nolint:errcheck // nothing is lost with it
	created := false
	for {
		r, _, err := c.do(ctx, Request{Op: OpDescribe})
		switch {
		case isCode(err, "ResourceNotFoundException") && !created:
			if _, _, err := c.do(ctx, Request{Op: OpCreate}); err != nil && !isCode(err, "ResourceInUseException") { // somebody else was faster
				return err
			}
			created = true
		case isCode(err, "ResourceNotFoundException"): // not yet
		case err != nil:
			return err
		case r.Table.Keys != attrKey+":S":
			return &ServerError{c.name, fmt.Errorf("there is a table with the key %s, for something else: choose another name", r.Table.Keys)}
		case r.Table.Status == "ACTIVE":
			return c.expire(ctx, r.Table)
		}
		if err := sleep(ctx, activeEvery); err != nil {
			return err
		}
	}
}

// expire has items expire, if they do not. An emulator may not know how.
func (c *conn) expire(ctx context.Context, t TableInfo) error {
	if t.Expires == attrExpires {
		return nil
	}
	_, _, err := c.do(ctx, Request{Op: OpExpire})
	if isCode(err, "UnknownOperationException") || isCode(err, "ValidationException") && t.Expires == "?" {
		return nil
	}
	return err
}

func isCode(err error, code string) bool {
	var e *RequestError
	return errors.As(err, &e) && e.Code == code
}

// Policy returns the IAM policy that is needed, as JSON: for those who use a table, and for the one who makes it.
func Policy(address string) (string, error) {
	at, err := ParseURL(address)
	if err != nil {
		return "", err
	}
	region := at.Region
	if region == "" {
		region = "*"
	}
	arn := "arn:aws:dynamodb:" + region + ":*:table/" + at.Table
	type statement struct {
		Sid, Effect string
		Action      []string
		Resource    string
	}
	policy := struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{
		{"ThrottleUse", "Allow", []string{"dynamodb:GetItem", "dynamodb:UpdateItem"}, arn},
		{"ThrottleStatusAndLimits", "Allow", []string{"dynamodb:Scan", "dynamodb:DeleteItem"}, arn},
		{"ThrottleCheckAndInit", "Allow", []string{
			"dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:CreateTable", "dynamodb:UpdateTimeToLive",
		}, arn},
	}}
	text, err := json.MarshalIndent(policy, "", "  ")
	return string(text) + "\n", err
}
