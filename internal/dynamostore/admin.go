package dynamostore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/internal/storecheck"
)

// Keys returns the keys that have a state in the table, in order. It reads all of the table.
func (v *Server) Keys(ctx context.Context) ([]string, error) { return v.list(ctx, keyPrefix) }

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

const (
	checkReads = 8
	checkEvery = 130 * time.Millisecond // in all a second, so that the clocks are compared to about that
	skewNoted  = 250 * time.Millisecond
)

// Check says how the table is, and what is missing. It writes an item of its own and deletes it. The error is that of ctx: what is wrong
// with the table is in the Report.
func (v *Server) Check(ctx context.Context) (storecheck.Report, error) {
	report := storecheck.Report{Store: v.String(), Server: "DynamoDB"}
	if err := v.check(ctx, &report); err != nil && ctx.Err() == nil {
		wrong(&report, err, true)
	}
	return report, context.Cause(ctx)
}

// wrong adds an error to a report.
func wrong(r *storecheck.Report, err error, serious bool) {
	var server *ServerError
	if errors.As(err, &server) {
		err = server.Err
	}
	what, do, _ := strings.Cut(err.Error(), "\n")
	r.Add(serious, what, do)
}

func (c *conn) check(ctx context.Context, report *storecheck.Report) error {
	table, _, err := c.do(ctx, Request{Op: OpDescribe})
	var e *RequestError
	switch {
	case err == nil:
		if table.Table.Region != "" {
			report.Server += " in " + table.Table.Region
		}
		if shape(report, table.Table) {
			return nil
		}
	case errors.As(err, &e) && strings.Contains(e.Code, "AccessDenied"): // it may do without
		report.Add(false, "how the table is made can't be looked at: dynamodb:DescribeTable is not allowed", "`throttle store init` prints the policy")
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
		report.Add(false, fmt.Sprintf("the clock of this host is wrong by %v or more", max(report.AheadLeast, -report.AheadMost).Round(time.Millisecond)),
			"have it synchronized (NTP): until then throttle corrects it to about a second")
	}
	version := Bytes([]byte("check"))
	if _, _, err := c.do(ctx, Request{Op: OpUpdate, Key: key, Set: map[string]Value{attrVersion: version}}); err != nil {
		return err
	}
	if _, _, err := c.do(ctx, Request{Op: OpDelete, Key: key, If: map[string]*Value{attrVersion: &version}}); err != nil {
		wrong(report, err, false)
	}
	if _, err := c.list(ctx, "check:"); err != nil {
		wrong(report, err, false)
	}
	return nil
}

// shape says what is wrong with how the table is made, and reports whether it can't be used.
func shape(r *storecheck.Report, t TableInfo) (useless bool) {
	switch {
	case t.Keys != attrKey+":S":
		r.Add(true, fmt.Sprintf("the table has the key %s: it is one for something else", t.Keys),
			fmt.Sprintf("use another one, with the partition key %q, a string, and no sort key: `throttle store init` makes it", attrKey))
		return true
	case t.Status != "ACTIVE" && t.Status != "UPDATING":
		r.Add(true, "the table is "+t.Status, "wait")
		return true
	}
	switch t.Expires {
	case attrExpires:
	case "?":
		r.Add(false, "the server does not say whether items expire: if not, those of keys that nobody uses stay", "allow dynamodb:DescribeTimeToLive")
	default:
		r.Add(false, fmt.Sprintf("items do not expire by the attribute %q: those of keys that nobody uses stay", attrExpires), "`throttle store init` sets it")
	}
	return false
}

// activeEvery is how often it is looked whether a table that was created is there.
const activeEvery = 500 * time.Millisecond

// Init makes the table, with on-demand billing, and has items expire by their attribute. One that is there and right stays as it
// is; one that is for something else is an error.
func (v *Server) Init(ctx context.Context) error {
	c := v.conn
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

// Policy returns the IAM policy that is needed, as JSON: for those who use the table, and for the one who makes it.
func (v *Server) Policy() (string, error) {
	at := v.at
	region, partition := at.Region, "aws"
	switch {
	case region == "":
		region = "*"
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	arn := "arn:" + partition + ":dynamodb:" + region + ":*:table/" + at.Table
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
