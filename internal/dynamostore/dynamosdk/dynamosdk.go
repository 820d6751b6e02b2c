// Package dynamosdk reaches a table of DynamoDB by the SDK of AWS. Whoever links it pays for that with 1.6 ms at each start, and 7 MB.
package dynamosdk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/throttle-cli/throttle/internal/dynamostore"
)

// A client is the SDK.
type client struct {
	table string
	api   *dynamodb.Client
	creds aws.CredentialsProvider
	known atomic.Bool // there have been credentials
}

var _ dynamostore.Dial = Dial

// Dial looks for a region and credentials where the SDK does: in the URL, the environment, the shared files, web identity, SSO,
// the container, and the instance. It connects to nothing yet.
func Dial(ctx context.Context, at dynamostore.Address) (dynamostore.Client, error) {
	load := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}),                                   // it would write to stderr what we return as an error
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // the engine knows better when, and for how long
	}
	if at.Region != "" {
		load = append(load, config.WithRegion(at.Region))
	}
	if at.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(at.Profile))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, &dynamostore.RequestError{Code: dynamostore.CodeConfig, Message: err.Error()}
	}
	if c.Region == "" {
		return nil, &dynamostore.RequestError{Code: dynamostore.CodeRegion, Message: "there is no region"}
	}
	api := dynamodb.NewFromConfig(c, func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, dated)
		if at.Endpoint != "" {
			o.BaseEndpoint = aws.String(at.Endpoint)
		}
	})
	return &client{table: at.Table, api: api, creds: c.Credentials}, nil
}

// Close does nothing: connections end with the process.
func (*client) Close() error { return nil }

// Do does a request.
func (c *client) Do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	switch _, err := c.creds.Retrieve(ctx); { // they are cached
	case err == nil:
		c.known.Store(true)
	case ctx.Err() == nil:
		e := &dynamostore.RequestError{Code: dynamostore.CodeCredentials, Message: "there are no credentials: " + err.Error()}
		if c.known.Load() && mayPass(err) { // those there were have expired, and who gives new ones is away
			e.Code = dynamostore.CodeNetwork
		}
		return dynamostore.Response{}, e
	}
	var date time.Time
	ctx = context.WithValue(ctx, dateKey{}, &date)
	response, err := c.do(ctx, r)
	if isSkewed(err) && time.Since(date).Abs() > skewRefused {
		response, err = c.do(ctx, r) // the SDK has learned from the answer how wrong the clock is
	}
	response.Date = date
	if err != nil {
		err = errorOf(ctx, err)
	}
	return response, err
}

// mayPass reports whether an error is one of the network, or of a server that has no time for us.
func mayPass(err error) bool {
	var sent *smithyhttp.RequestSendError
	var response *smithyhttp.ResponseError
	return errors.As(err, &sent) || errors.As(err, &response) && (response.HTTPStatusCode() >= 500 || response.HTTPStatusCode() == http.StatusTooManyRequests)
}

// skewRefused is about how wrong a clock is with which a request is refused: five minutes.
const skewRefused = 4 * time.Minute

func isSkewed(err error) bool {
	var e smithy.APIError
	if !errors.As(err, &e) {
		return false
	}
	switch e.ErrorCode() {
	case "InvalidSignatureException", "RequestTimeTooSkewed", "RequestExpired", "SignatureDoesNotMatch":
		return true
	}
	return false
}

func (c *client) do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	switch r.Op {
	case dynamostore.OpGet:
		out, err := c.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.table, Key: keyOf(r.Key), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return dynamostore.Response{}, err
		}
		return dynamostore.Response{Item: itemOf(out.Item)}, nil
	case dynamostore.OpUpdate:
		return c.update(ctx, r)
	case dynamostore.OpDelete:
		e := expressions{names: map[string]string{}, values: map[string]types.AttributeValue{}}
		_, err := c.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &c.table, Key: keyOf(r.Key), ConditionExpression: e.condition(r), ExpressionAttributeNames: e.name(), ExpressionAttributeValues: e.value(),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		return failed(err)
	case dynamostore.OpScan:
		return c.scan(ctx, r)
	case dynamostore.OpDescribe:
		return c.describe(ctx)
	case dynamostore.OpCreate:
		_, err := c.api.CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName: &c.table, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(dynamostore.KeyAttribute), AttributeType: types.ScalarAttributeTypeS}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(dynamostore.KeyAttribute), KeyType: types.KeyTypeHash}},
		})
		return dynamostore.Response{}, err
	case dynamostore.OpExpire:
		_, err := c.api.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
			TableName:               &c.table,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(dynamostore.ExpiresAttribute), Enabled: aws.Bool(true)},
		})
		return dynamostore.Response{}, err
	}
	return dynamostore.Response{}, fmt.Errorf("there is no request %q", r.Op)
}

func (c *client) update(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	e := expressions{names: map[string]string{}, values: map[string]types.AttributeValue{}}
	in := &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: keyOf(r.Key), UpdateExpression: e.update(r), ConditionExpression: e.condition(r),
		ExpressionAttributeNames: e.name(), ExpressionAttributeValues: e.value(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if r.After {
		in.ReturnValues = types.ReturnValueAllNew
	}
	out, err := c.api.UpdateItem(ctx, in)
	if err != nil {
		return failed(err)
	}
	return dynamostore.Response{Item: itemOf(out.Attributes)}, nil
}

// failed returns a Response for a condition that does not hold, and other errors as they are.
func failed(err error) (dynamostore.Response, error) {
	var condition *types.ConditionalCheckFailedException
	if errors.As(err, &condition) {
		return dynamostore.Response{Failed: true, Item: itemOf(condition.Item)}, nil
	}
	return dynamostore.Response{}, err
}

func (c *client) scan(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	in := &dynamodb.ScanInput{
		TableName: &c.table, ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#k"), FilterExpression: aws.String("begins_with(#k, :p)"),
		ExpressionAttributeNames:  map[string]string{"#k": dynamostore.KeyAttribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: r.Key}},
	}
	if r.Start != "" {
		in.ExclusiveStartKey = keyOf(r.Start)
	}
	out, err := c.api.Scan(ctx, in)
	if err != nil {
		return dynamostore.Response{}, err
	}
	response := dynamostore.Response{Next: keyIn(out.LastEvaluatedKey)}
	for _, item := range out.Items {
		response.Keys = append(response.Keys, keyIn(item))
	}
	return response, nil
}

func keyIn(item map[string]types.AttributeValue) string {
	if s, ok := item[dynamostore.KeyAttribute].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func (c *client) describe(ctx context.Context) (dynamostore.Response, error) {
	out, err := c.api.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &c.table})
	if err != nil {
		return dynamostore.Response{}, err
	}
	t := dynamostore.TableInfo{Status: string(out.Table.TableStatus), Region: c.api.Options().Region, Expires: "?"}
	for i, k := range out.Table.KeySchema {
		if i > 0 {
			t.Keys += " "
		}
		t.Keys += aws.ToString(k.AttributeName)
		for _, d := range out.Table.AttributeDefinitions {
			if aws.ToString(d.AttributeName) == aws.ToString(k.AttributeName) {
				t.Keys += ":" + string(d.AttributeType)
			}
		}
	}
	if b := out.Table.BillingModeSummary; b != nil {
		t.OnDemand = b.BillingMode == types.BillingModePayPerRequest
	}
	ttl, err := c.api.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &c.table})
	if err == nil && ttl.TimeToLiveDescription != nil {
		t.Expires = ""
		switch d := ttl.TimeToLiveDescription; d.TimeToLiveStatus {
		case types.TimeToLiveStatusEnabled, types.TimeToLiveStatusEnabling:
			t.Expires = aws.ToString(d.AttributeName)
		case types.TimeToLiveStatusDisabled, types.TimeToLiveStatusDisabling:
		}
	}
	return dynamostore.Response{Table: t}, nil
}

// Expressions name attributes and values, as a request wants it.
type expressions struct {
	names  map[string]string
	values map[string]types.AttributeValue
}

func (e expressions) name() map[string]string {
	if len(e.names) == 0 {
		return nil
	}
	return e.names
}

func (e expressions) value() map[string]types.AttributeValue {
	if len(e.values) == 0 {
		return nil
	}
	return e.values
}

func (e expressions) attr(name string) string {
	for short, known := range e.names {
		if known == name {
			return short
		}
	}
	short := "#n" + strconv.Itoa(len(e.names))
	e.names[short] = name
	return short
}

func (e expressions) val(v dynamostore.Value) string {
	short := ":v" + strconv.Itoa(len(e.values))
	e.values[short] = valueOf(v)
	return short
}

func (e expressions) update(r dynamostore.Request) *string {
	text := ""
	for name, v := range r.Set {
		if text == "" {
			text = "SET "
		} else {
			text += ", "
		}
		text += e.attr(name) + " = " + e.val(v)
	}
	for i, name := range r.Remove {
		if i == 0 {
			text += " REMOVE "
		} else {
			text += ", "
		}
		text += e.attr(name)
	}
	return &text
}

func (e expressions) condition(r dynamostore.Request) *string {
	text := ""
	and := func(term string) {
		if text != "" {
			text += " AND "
		}
		text += term
	}
	for name, v := range r.If {
		if v == nil {
			and("attribute_not_exists(" + e.attr(name) + ")")
		} else {
			and(e.attr(name) + " = " + e.val(*v))
		}
	}
	if r.Has != "" {
		and("attribute_exists(" + e.attr(r.Has) + ")")
	}
	if text == "" {
		return nil
	}
	return &text
}

func keyOf(key string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{dynamostore.KeyAttribute: &types.AttributeValueMemberS{Value: key}}
}

func valueOf(v dynamostore.Value) types.AttributeValue {
	switch {
	case v.S != nil:
		return &types.AttributeValueMemberS{Value: *v.S}
	case v.N != nil:
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(*v.N, 10)}
	}
	return &types.AttributeValueMemberB{Value: v.B}
}

// itemOf returns what of an item the engine may know: what is of another type is none of ours.
func itemOf(item map[string]types.AttributeValue) map[string]dynamostore.Value {
	if len(item) == 0 {
		return nil
	}
	values := make(map[string]dynamostore.Value, len(item))
	for name, v := range item {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			values[name] = dynamostore.Chars(v.Value)
		case *types.AttributeValueMemberN:
			if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
				values[name] = dynamostore.Number(n)
			}
		case *types.AttributeValueMemberB:
			values[name] = dynamostore.Bytes(v.Value)
		}
	}
	return values
}

// errorOf returns an error as the engine wants it.
func errorOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &dynamostore.RequestError{Code: dynamostore.CodeNetwork, Message: err.Error()}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		e.Status = response.HTTPStatusCode()
	}
	var api smithy.APIError
	var connection *url.Error
	var sending *smithy.OperationError
	var sent *smithyhttp.RequestSendError
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) || response == nil && !errors.As(err, &sent) { // it would be the same another time
		e.Code = dynamostore.CodeConfig
	}
	switch {
	case errors.As(err, &api):
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
	case errors.As(err, &connection): // which URL that was is known
		e.Message = connection.Err.Error()
	case errors.As(err, &sending): // without the words of the SDK before it
		e.Message = root(sending.Err).Error()
	}
	return e
}

// root returns what is wrong with a connection, without what wraps it.
func root(err error) error {
	var send *awshttp.ResponseError
	if errors.As(err, &send) {
		return err
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		if _, ok := err.(interface{ Timeout() bool }); ok {
			return err
		}
		err = inner
	}
}

type dateKey struct{}

// dated has the time told that answers bear.
func dated(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("throttle:Date",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleDeserialize(ctx, in)
			if r, ok := out.RawResponse.(*smithyhttp.Response); ok && r != nil && r.Response != nil {
				if date, ok := ctx.Value(dateKey{}).(*time.Time); ok {
					if at, err := http.ParseTime(r.Header.Get("Date")); err == nil {
						*date = at
					}
				}
			}
			return out, metadata, err
		}), middleware.After)
}
