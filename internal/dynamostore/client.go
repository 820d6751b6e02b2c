package dynamostore

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What of DynamoDB is used, and no more: the engine knows no SDK. That is in dynamosdk, which takes 1.6 ms to start up, and helper
// reaches it in a program of its own.

// A Client does requests to one table. Its methods may be called by any number of goroutines.
type Client interface {
	// Do does a request. An error is a *RequestError, or that of ctx. With an error, too, the Response has the Date that the server sent.
	Do(ctx context.Context, r Request) (Response, error)
	Close() error
}

// A Dial connects to a table. It need not find out whether that is there. A region, and who we are, come from where the SDK looks for
// them: the environment, the shared files, and so on.
type Dial func(ctx context.Context, at Address) (Client, error)

// An Op is a kind of request.
type Op string

// What can be asked.
const (
	OpGet      Op = "get"      // the Item of a Key, consistently
	OpUpdate   Op = "update"   // Set and Remove attributes of the item of a Key, if If holds
	OpDelete   Op = "delete"   // the item of a Key, if If holds
	OpScan     Op = "scan"     // the Keys that begin with Key, from Start on
	OpDescribe Op = "describe" // the Table
	OpCreate   Op = "create"   // the table, as this package has it
	OpExpire   Op = "expire"   // has items expire by their attribute ttl
)

// A Request is one.
type Request struct {
	Op     Op
	Key    string            `json:",omitempty"`
	Set    map[string]Value  `json:",omitempty"`
	Remove []string          `json:",omitempty"`
	If     map[string]*Value `json:",omitempty"` // attributes have these values, and where that is nil are not there
	Has    string            `json:",omitempty"` // an attribute that is there
	After  bool              `json:",omitempty"` // an update returns the item as it is then
	Start  string            `json:",omitempty"`
}

// A Value is that of an attribute: one of the three.
type Value struct {
	S *string `json:",omitempty"`
	N *int64  `json:",omitempty"`
	B []byte  `json:",omitempty"`
}

// A Response is what comes of a Request.
type Response struct {
	Failed bool             `json:",omitempty"` // what If and Has say does not hold: nothing was written
	Item   map[string]Value `json:",omitempty"` // of a get, an update with After, and maybe one that has failed: nil is none, or not told
	Keys   []string         `json:",omitempty"`
	Next   string           `json:",omitempty"` // where a scan goes on; empty is its end
	Table  TableInfo        `json:",omitzero"`
	Date   time.Time        `json:",omitzero"` // of the server, in whole seconds; zero if it has not said
}

// A TableInfo is how the table is made.
type TableInfo struct {
	Status   string // "ACTIVE"
	Keys     string // "k:S" is a partition key of type string
	OnDemand bool
	Expires  string // the attribute by which items expire, "" if they do not, "?" if the server can't say
	Region   string
}

// A RequestError is an error of the server, or on the way to it.
type RequestError struct {
	Code    string // "ThrottlingException"; those that are ours begin with a dash
	Status  int    `json:",omitempty"` // of HTTP; 0 if there is none
	Message string
}

// The codes that are ours.
const (
	CodeNetwork     = "-network"     // the server can't be reached, or the answer was lost
	CodeCredentials = "-credentials" // nobody knows who we are
	CodeRegion      = "-region"      // nobody knows where the table is
	CodeConfig      = "-config"      // the shared files can't be read, or have no such profile
)

func (e *RequestError) Error() string {
	if e.Code == "" || e.Code[0] == '-' {
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// Chars returns a Value that is a text.
func Chars(s string) Value { return Value{S: &s} }

// Number returns a Value that is a number.
func Number(n int64) Value { return Value{N: &n} }

// Bytes returns a Value that is bytes.
func Bytes(b []byte) Value { return Value{B: b} }

// An Address is what a URL says of a table.
type Address struct {
	Table    string
	Region   string `json:",omitempty"`
	Endpoint string `json:",omitempty"`
	Profile  string `json:",omitempty"`
}

// isTable reports whether a table may have a name.
func isTable(name string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_.-", r)
	}
	return len(name) >= 3 && len(name) <= 255 && !strings.ContainsFunc(name, odd)
}

const example = "such as dynamodb://throttle?region=eu-west-1"

// ParseURL returns what a URL says: dynamodb://TABLE?region=REGION&endpoint=URL&profile=NAME.
func ParseURL(text string) (Address, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Address{}, fmt.Errorf("not the URL of a table of DynamoDB, %s", example) // what is wrong with it may quote a password
	case u.Scheme != "dynamodb":
		return Address{}, fmt.Errorf("%q is not the scheme of DynamoDB: its URL is %s", u.Scheme, example)
	case u.User != nil:
		return Address{}, fmt.Errorf("no user and password belong into the URL of a table: say a profile, or set AWS_ACCESS_KEY_ID")
	case u.Port() != "":
		return Address{}, fmt.Errorf("%q is the name of a table and has no port: a server is named by endpoint=http://host:port", u.Host)
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return Address{}, fmt.Errorf("behind the table %q there is %q: its URL is %s", u.Host, u.Path+u.Fragment, example)
	case !isTable(u.Host):
		return Address{}, fmt.Errorf("%q can't be the name of a table: it has 3 to 255 letters, digits, _, - and .; its URL is %s", u.Host, example)
	}
	a := Address{Table: u.Host}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Address{}, fmt.Errorf("what follows the ? is not of the form option=value&option=value")
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "region":
			a.Region = value
		case "endpoint":
			a.Endpoint = value
		case "profile":
			a.Profile = value
		default:
			return Address{}, fmt.Errorf("the URL of a table has no option %q: there are region, endpoint and profile", name)
		}
	}
	if a.Endpoint != "" {
		e, err := url.Parse(a.Endpoint)
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil {
			return Address{}, fmt.Errorf("endpoint is not the URL of a server, such as http://localhost:8000")
		}
	}
	return a, nil
}

// String returns the URL, in which there is nothing secret.
func (a Address) String() string {
	text, sep := "dynamodb://"+a.Table, "?"
	for _, o := range [...]struct{ name, value string }{{"region", a.Region}, {"endpoint", a.Endpoint}, {"profile", a.Profile}} {
		if o.value != "" { // as it can be read
			text += sep + o.name + "=" + strings.NewReplacer("%3A", ":", "%2F", "/").Replace(url.QueryEscape(o.value))
			sep = "&"
		}
	}
	return text
}
