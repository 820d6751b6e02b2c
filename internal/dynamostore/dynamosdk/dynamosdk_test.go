package dynamosdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/throttle-cli/throttle/internal/dynamostore"
)

// A reply is what a server says to a request.
type reply struct {
	status int
	body   string
	date   time.Time
}

// serve returns a client of a server that says so, one after the other, and what it was asked.
func serve(t *testing.T, replies ...reply) (dynamostore.Client, *[]map[string]any) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	var asked []map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q map[string]any
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &q)
		q["target"], q["signed"] = r.Header.Get("X-Amz-Target"), r.Header.Get("X-Amz-Date")
		asked = append(asked, q)
		if len(asked) > len(replies) {
			t.Error("it asks more than was thought")
			return
		}
		a := replies[len(asked)-1]
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(a.body))))
		if !a.date.IsZero() {
			w.Header().Set("Date", a.date.UTC().Format(http.TimeFormat))
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(s.Close)
	c, err := Dial(t.Context(), dynamostore.Address{Table: "throttle", Region: "eu-west-1", Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c, &asked
}

// A condition that does not hold brings the item, and what is asked is one expression.
func TestUpdate(t *testing.T) {
	date := time.Unix(1_700_000_000, 0)
	c, asked := serve(t, reply{400, `{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no",
		"Item": {"k": {"S": "key:a"}, "v": {"B": "AAH/"}, "h1": {"N": "-5"}, "other": {"BOOL": true}, "float": {"N": "1.5"}}}`, date})
	v := dynamostore.Bytes([]byte{7})
	r, err := c.Do(t.Context(), dynamostore.Request{
		Op: dynamostore.OpUpdate, Key: "key:a", Set: map[string]dynamostore.Value{"v": dynamostore.Bytes([]byte{8})}, Remove: []string{"ttl", "limits"},
		If: map[string]*dynamostore.Value{"v": &v, "h2": nil}, Has: "s",
	})
	if err != nil || !r.Failed || len(r.Item) != 3 || *r.Item["k"].S != "key:a" || string(r.Item["v"].B) != "\x00\x01\xff" || *r.Item["h1"].N != -5 || !r.Date.Equal(date) {
		t.Errorf("%+v, %v", r, err)
	}
	q := (*asked)[0]
	update, condition := fmt.Sprint(q["UpdateExpression"]), fmt.Sprint(q["ConditionExpression"])
	names, _ := q["ExpressionAttributeNames"].(map[string]any)
	for short, name := range names {
		for _, text := range []*string{&update, &condition} {
			*text = strings.ReplaceAll(*text, short, fmt.Sprint(name))
		}
	}
	if q["target"] != "DynamoDB_20120810.UpdateItem" || q["ReturnValuesOnConditionCheckFailure"] != "ALL_OLD" || update != "SET v = :v0 REMOVE ttl, limits" {
		t.Errorf("%v: %s", q, update)
	}
	for _, term := range []string{"v = :v1", "attribute_not_exists(h2)", "attribute_exists(s)"} {
		if !strings.Contains(condition, term) {
			t.Errorf("%s lacks %s", condition, term)
		}
	}
}

func TestErrors(t *testing.T) {
	c, _ := serve(t,
		reply{400, `{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow down"}`, time.Unix(5, 0)},
		reply{502, `<html>`, time.Time{}},
	)
	r, err := c.Do(t.Context(), dynamostore.Request{Op: dynamostore.OpGet, Key: "k"})
	var e *dynamostore.RequestError
	if !errors.As(err, &e) || e.Code != "ProvisionedThroughputExceededException" || e.Message != "slow down" || e.Status != 400 || !r.Date.Equal(time.Unix(5, 0)) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.Do(t.Context(), dynamostore.Request{Op: dynamostore.OpGet, Key: "k"}); !dynamostore.IsAway(err) {
		t.Errorf("a proxy without a server: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	nobody, err := Dial(t.Context(), dynamostore.Address{Table: "throttle", Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.Do(t.Context(), dynamostore.Request{Op: dynamostore.OpGet, Key: "k"}); !errors.As(err, &e) || e.Code != dynamostore.CodeCredentials {
		t.Errorf("no credentials: %v", err)
	}
}

// A request that is refused as the clock is wrong by minutes is signed again by that of the server.
func TestClockIsFarOff(t *testing.T) {
	date := time.Now().Add(time.Hour)
	c, asked := serve(t, reply{400, `{"__type": "com.amazon.coral.service#InvalidSignatureException", "message": "Signature expired"}`, date}, reply{200, `{}`, date})
	if _, err := c.Do(t.Context(), dynamostore.Request{Op: dynamostore.OpGet, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse("20060102T150405Z", fmt.Sprint((*asked)[1]["signed"]))
	if err != nil || at.Sub(date).Abs() > time.Minute {
		t.Errorf("signed at %v, and it is %v, %v", at, date, err)
	}
}

// What would be the same another time is not for the server to be away: it is not asked again.
func TestErrorsThatStay(t *testing.T) {
	half, _ := serve(t, reply{200, `{"Item": {"k`, time.Time{}})
	get := dynamostore.Request{Op: dynamostore.OpGet, Key: "k"}
	if _, err := half.Do(t.Context(), get); !dynamostore.IsAway(err) {
		t.Errorf("half of an answer: %v", err)
	}
	s := httptest.NewTLSServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	for _, at := range []dynamostore.Address{{Region: "eu-west-1", Endpoint: s.URL}, {Region: "eu west 1"}} {
		at.Table = "throttle"
		c, err := Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(t.Context(), get); err == nil || dynamostore.IsAway(err) {
			t.Errorf("%v: %v", at, err)
		} else {
			t.Log(err)
		}
	}
}

// A fickle provider has credentials at first, and then is not to be reached.
type fickle struct{ n int }

func (f *fickle) Retrieve(context.Context) (aws.Credentials, error) {
	if f.n--; f.n < 0 {
		return aws.Credentials{}, &smithyhttp.RequestSendError{Err: errors.New("it is away")}
	}
	return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
}

// One that has had credentials is to get new ones later. One that never had any is wrong here.
func TestCredentialsLater(t *testing.T) {
	c, _ := serve(t, reply{200, `{}`, time.Time{}})
	get := dynamostore.Request{Op: dynamostore.OpGet, Key: "k"}
	had := &client{table: "throttle", api: c.(*client).api, creds: &fickle{1}} //nolint:forcetypeassert // it is
	if _, err := had.Do(t.Context(), get); err != nil {
		t.Fatal(err)
	}
	if _, err := had.Do(t.Context(), get); !dynamostore.IsAway(err) || !strings.Contains(err.Error(), "credentials: ") {
		t.Error(err)
	}
	never := &client{table: "throttle", api: had.api, creds: &fickle{0}}
	if _, err := never.Do(t.Context(), get); err == nil || dynamostore.IsAway(err) {
		t.Error(err)
	}
}
