package dynamostore_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
	"github.com/throttle-cli/throttle/internal/storecheck"
	"github.com/throttle-cli/throttle/pacer"
)

func every(d time.Duration) pacer.Limits { return pacer.Limits{pacer.Every(d)} }

// collect returns the slots of grants that clients take, n each, in order.
func collect(t *testing.T, n int, stores ...*dynamostore.Store) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var slots []time.Duration
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			for range n {
				r, err := s.Grant(t.Context(), 1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				slots = append(slots, r.Since1970())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(slots)
	return slots
}

// apart checks that slots are at least d apart, and returns how many are exactly so.
func apart(t *testing.T, slots []time.Duration, d time.Duration) (exact int) {
	t.Helper()
	for i := 1; i < len(slots); i++ {
		switch gap := slots[i] - slots[i-1]; {
		case gap == d:
			exact++
		case gap < d:
			t.Errorf("slot %d is %v after the one before", i, gap)
		}
	}
	return exact
}

func reserve(t *testing.T, s *dynamostore.Store) *dynamostore.Reservation {
	t.Helper()
	r, err := s.Reserve(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Sixty clients at once get their places in order, all of them, and then their grants.
func TestManyClients(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stores := make([]*dynamostore.Store, 60)
	for i := range stores {
		stores[i] = s.open(t, "k", dynamostore.Options{Limits: every(10 * time.Millisecond)})
	}
	if err := stores[0].SetLimits(t.Context(), pacer.Limits{{}}); err != nil {
		t.Fatal(err)
	}
	rs := make([]*dynamostore.Reservation, len(stores))
	var wg sync.WaitGroup
	start := time.Now()
	for i, st := range stores {
		wg.Go(func() {
			r, err := st.Reserve(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			rs[i] = r
		})
	}
	wg.Wait()
	t.Logf("%d clients that ask at once have their places after %v", len(stores), time.Since(start))
	if t.Failed() {
		return
	}
	if err := stores[0].SetLimits(t.Context(), every(10*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		wg.Go(func() {
			if err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var slots []time.Duration
	for _, r := range rs {
		slots = append(slots, r.Since1970())
	}
	slices.Sort(slots)
	if exact := apart(t, slots, 10*time.Millisecond); exact != len(slots)-1 {
		t.Errorf("%d of %d slots are exactly 10 ms after the one before", exact, len(slots)-1)
	}
	more := collect(t, 1, stores...)
	t.Logf("%d of %d slots are exactly 10 ms after the one before", apart(t, more, 10*time.Millisecond), len(more)-1)
}

// Requests that are throttled, fail, and are carried out although the answer is lost: the rate holds, all are served, and none twice.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.proxy(t)
	var faults atomic.Int64
	fault := func(w http.ResponseWriter, op string, pass func()) bool {
		n := rand.IntN(12)
		if n >= 4 || op != "GetItem" && op != "UpdateItem" {
			return false
		}
		faults.Add(1)
		switch n {
		case 0:
			failWith(w, http.StatusBadRequest, "ProvisionedThroughputExceededException")
		case 1:
			failWith(w, http.StatusInternalServerError, "InternalServerError")
		case 2:
			cut(w)
		case 3:
			pass()
			cut(w)
		}
		return true
	}
	var stores []*dynamostore.Store
	for range 4 {
		stores = append(stores, open(t, p.url(), "k", dynamostore.Options{Limits: every(20 * time.Millisecond), Away: time.Minute}))
	}
	p.fault.Store(&fault)
	slots := collect(t, 10, stores...)
	p.fault.Store(nil)
	apart(t, slots, 20*time.Millisecond)
	st, err := stores[0].Status(t.Context())
	if err != nil || len(slots) != 40 || len(st.Waiting) != 0 || faults.Load() == 0 {
		t.Errorf("%d grants, %d faults, %d wait, %v", len(slots), faults.Load(), len(st.Waiting), err)
	}
	t.Logf("%d grants for 40 with %d faults", st.Grants, faults.Load())
}

// What is said of a server that is away, or of one that does not want us, names the table and never a secret.
func TestErrors(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.proxy(t)
	o := dynamostore.Options{Limits: every(time.Hour), Timeout: 300 * time.Millisecond}
	st := open(t, p.url(), "k", o)
	for _, c := range []struct {
		fault func(w http.ResponseWriter, op string, pass func()) bool
		away  bool
		want  string
	}{
		{func(w http.ResponseWriter, _ string, _ func()) bool { cut(w); return true }, true, ""},
		{func(http.ResponseWriter, string, func()) bool { pass(time.Second); return true }, true, "no answer within 300ms"},
		{failing(400, "ThrottlingException"), true, "ThrottlingException"},
		{failing(503, "ServiceUnavailable"), true, "ServiceUnavailable"},
		{failing(400, "AccessDeniedException"), false, "the policy that `throttle store init` prints"},
		{failing(400, "UnrecognizedClientException"), false, "access key is not known"},
		{failing(400, "ExpiredTokenException"), false, "log in again"},
		{failing(400, "ResourceNotFoundException"), false, "throttle store init"},
	} {
		p.fault.Store(&c.fault)
		err := st.WaitN(t.Context(), 1)
		p.fault.Store(nil)
		if err == nil || dynamostore.IsAway(err) != c.away || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "dynamodb://throttle?") || strings.Contains(err.Error(), "secret-of-the-test") {
			t.Errorf("away %v, want %v: %v; want %s", dynamostore.IsAway(err), c.away, err, c.want)
		}
	}
	reserve(t, st) // and it goes on
	why := errors.New("why")
	ctx, stop := context.WithCancelCause(t.Context())
	hang := func(http.ResponseWriter, string, func()) bool { stop(why); pass(200 * time.Millisecond); return true }
	p.fault.Store(&hang)
	if err := st.WaitN(ctx, 1); !errors.Is(err, why) {
		t.Errorf("the end of a context: %v", err)
	}
	p.fault.Store(nil)

	for url, want := range map[string]string{
		"dynamodb://throttle":                              "say region=",
		"dynamodb://throttle?region=x&profile=nobody":      "nobody",
		strings.Replace(s.url(), "throttle", "missing", 1): "throttle store init",
		urlOf("http://127.0.0.1:1"):                        "connection refused",
	} {
		o := dynamostore.Options{Limits: every(time.Hour), Dial: dynamosdk.Dial}
		if _, err := dynamostore.Open(t.Context(), url, "k", o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

func failing(status int, code string) func(http.ResponseWriter, string, func()) bool {
	return func(w http.ResponseWriter, _ string, _ func()) bool { failWith(w, status, code); return true }
}

func pass(d time.Duration) { <-time.After(d) }

func TestInitCheckKeys(t *testing.T) {
	t.Parallel()
	s := emptyServer(t)
	report, err := connect(t, s.url()).Check(t.Context())
	if err != nil || len(report.Problems) != 1 || !report.Problems[0].Serious || !strings.Contains(report.Problems[0].Do, "throttle store init") {
		t.Errorf("no table: %+v, %v", report, err)
	}
	for range 2 {
		if err := connect(t, s.url()).Init(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	report, err = connect(t, s.url()).Check(t.Context())
	if err != nil || report.RoundTrip <= 0 || report.Server != "DynamoDB in eu-west-1" || report.AheadLeast > 0 || report.AheadMost < 0 || report.AheadMost == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	for _, p := range report.Problems { // dynalite has no expiry
		if p.Serious || !strings.Contains(p.What, "expire") {
			t.Errorf("%+v", p)
		}
	}
	for _, key := range []string{"b", "a", ""} {
		reserve(t, s.open(t, key, dynamostore.Options{Limits: every(time.Hour)}))
	}
	if ok, err := connect(t, s.url()).ReplaceText(t.Context(), "github", "", "{}"); err != nil || !ok {
		t.Fatal(err)
	}
	if _, err := s.open(t, "never used", dynamostore.Options{}).Status(t.Context()); !errors.Is(err, dynamostore.ErrNoState) {
		t.Errorf("one that has no state: %v", err)
	}
	if keys, err := connect(t, s.url()).Keys(t.Context()); err != nil || !slices.Equal(keys, []string{"", "a", "b"}) {
		t.Errorf("%q, %v", keys, err)
	}

	proxy := s.proxy(t) // a server whose clock is another one
	proxy.date.Store(int64(-time.Minute))
	report, err = connect(t, proxy.url()).Check(t.Context())
	if err != nil || report.AheadLeast < 58*time.Second || report.AheadMost > 62*time.Second ||
		!slices.ContainsFunc(report.Problems, func(p storecheck.Problem) bool {
			return strings.Contains(p.What, "the clock of this host is wrong by")
		}) {
		t.Errorf("%+v, %v", report, err)
	}
	denied := failing(400, "AccessDeniedException")
	proxy.fault.Store(&denied)
	report, err = connect(t, proxy.url()).Check(t.Context())
	if err != nil || len(report.Problems) != 2 || !report.Problems[1].Serious {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestTableForSomethingElse(t *testing.T) {
	t.Parallel()
	s := emptyServer(t)
	s.create(t, `{"TableName": "throttle", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
		"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}`)
	if err := connect(t, s.url()).Init(t.Context()); err == nil || !strings.Contains(err.Error(), "id:S") {
		t.Errorf("%v", err)
	}
	report, err := connect(t, s.url()).Check(t.Context())
	if err != nil || len(report.Problems) != 1 || !report.Problems[0].Serious || !strings.Contains(report.Problems[0].What, "id:S") {
		t.Errorf("%+v, %v", report, err)
	}
	_, err = dynamostore.Open(t.Context(), s.url(), "k", dynamostore.Options{Dial: dynamosdk.Dial, Limits: every(time.Hour)})
	if err == nil || !strings.Contains(err.Error(), "for something else") {
		t.Errorf("%v", err)
	}
}

func TestPolicy(t *testing.T) {
	text, err := connect(t, "dynamodb://throttle?region=eu-west-1").Policy()
	var policy struct{ Statement []struct{ Action []string } }
	if err != nil || json.Unmarshal([]byte(text), &policy) != nil || len(policy.Statement) != 3 || !strings.Contains(text, "dynamodb:eu-west-1:*:table/throttle\"") {
		t.Errorf("%s, %v", text, err)
	}
	for region, want := range map[string]string{"eu-west-1": "arn:aws:", "cn-north-1": "arn:aws-cn:", "us-gov-west-1": "arn:aws-us-gov:"} {
		if text, err := connect(t, "dynamodb://throttle?region="+region).Policy(); err != nil || !strings.Contains(text, want+"dynamodb:"+region) {
			t.Errorf("%s, %v", text, err)
		}
	}
}

// What connects may take as long as a request.
func TestConnectTakesLong(t *testing.T) {
	dial := func(ctx context.Context, _ dynamostore.Address) (dynamostore.Client, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		_, err := dynamostore.Connect(context.Background(), "dynamodb://throttle", dial, 20*time.Millisecond)
		done <- err
	}()
	select {
	case err := <-done:
		if !dynamostore.IsAway(err) || !strings.Contains(err.Error(), "no answer within 20ms") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it has no end")
	}
}

// A crawling one has the first update done only when the second one is sent, which gets lost. Nobody is told of either.
type crawling struct {
	dynamostore.Client
	first *dynamostore.Request
	n     int
}

func (c *crawling) Do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	if r.Op != dynamostore.OpUpdate {
		return c.Client.Do(ctx, r)
	}
	switch c.n++; c.n {
	case 1:
		c.first = &r
	case 2:
		if _, err := c.Client.Do(ctx, *c.first); err != nil {
			return dynamostore.Response{}, err
		}
	default:
		return c.Client.Do(ctx, r)
	}
	return dynamostore.Response{}, &dynamostore.RequestError{Code: dynamostore.CodeNetwork, Message: "it is slow"}
}

// A throttled one has no time for us at first.
type throttled struct {
	dynamostore.Client
	left int
}

func (c *throttled) Do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	if c.left--; c.left >= 0 {
		return dynamostore.Response{}, &dynamostore.RequestError{Code: "ThrottlingException", Status: 400, Message: "slow down"}
	}
	return c.Client.Do(ctx, r)
}

// Whoever asks how a key stands puts up with a table that is away, too.
func TestStatusOfATableThatIsAway(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := s.open(t, "k", dynamostore.Options{Limits: every(time.Hour)}).WaitN(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	v, err := dynamostore.Connect(t.Context(), s.url(), func(ctx context.Context, at dynamostore.Address) (dynamostore.Client, error) {
		c, err := dynamosdk.Dial(ctx, at)
		return &throttled{c, 3}, err
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	st, err := v.Open("k", dynamostore.Options{Away: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := st.Status(t.Context()); err != nil || status.Grants != 1 {
		t.Errorf("%+v, %v", status, err)
	}
}

// A request that comes to the table after the next one was sent is done once.
func TestRequestThatCrawls(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	st := s.open(t, "k", dynamostore.Options{
		Limits: every(time.Nanosecond), Away: time.Minute,
		Dial: func(ctx context.Context, at dynamostore.Address) (dynamostore.Client, error) {
			c, err := dynamosdk.Dial(ctx, at)
			return &crawling{Client: c}, err
		},
	})
	if err := st.WaitN(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if status, err := st.Status(t.Context()); err != nil || status.Grants != 1 {
		t.Errorf("%d grants, %v", status.Grants, err)
	}
}

// A text is replaced only by one who knows what it is.
func TestTexts(t *testing.T) {
	t.Parallel()
	v := connect(t, newServer(t).url())
	replace := func(name, old, text string, want bool) {
		t.Helper()
		if ok, err := v.ReplaceText(t.Context(), name, old, text); err != nil || ok != want {
			t.Errorf("%q in the place of %q: %v, %v", text, old, ok, err)
		}
	}
	texts := func(want ...dynamostore.Text) {
		t.Helper()
		if all, err := v.Texts(t.Context()); err != nil || !slices.Equal(all, want) {
			t.Errorf("%q, %v, want %q", all, err, want)
		}
	}
	texts()
	replace("b", "", "1\n\x00", true)
	replace("b", "", "2", false)
	replace("a", "x", "2", false)
	replace("a", "", "2", true)
	texts(dynamostore.Text{Name: "a", Text: "2"}, dynamostore.Text{Name: "b", Text: "1\n\x00"})
	replace("b", "1\n\x00", "3", true)
	replace("a", "2", "", true)
	replace("a", "", "", true)
	texts(dynamostore.Text{Name: "b", Text: "3"})
	var wg sync.WaitGroup // of several at once one is first
	var done atomic.Int32
	for range 8 {
		wg.Go(func() {
			if ok, err := v.ReplaceText(t.Context(), "b", "3", "4"); err == nil && ok {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if done.Load() != 1 {
		t.Errorf("%d have replaced it", done.Load())
	}
}

// connect returns the table of a URL.
func connect(t testing.TB, url string) *dynamostore.Server {
	t.Helper()
	v, err := dynamostore.Connect(context.Background(), url, dynamosdk.Dial, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// A client of which the server says that its clock is wrong, and one that is right, share a rate.
func TestSkewedClient(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, skew := range []time.Duration{10 * time.Second, -10 * time.Second} {
		p := s.proxy(t)
		p.date.Store(int64(skew)) // those behind it are right about that, and their own clocks wrong
		key := "skew " + skew.String()
		o := dynamostore.Options{Limits: every(50 * time.Millisecond)}
		start := time.Now()
		slots := collect(t, 10, open(t, p.url(), key, o), open(t, p.url(), key, o))
		apart(t, slots, 50*time.Millisecond)
		if d := slots[0] - time.Duration(start.UnixNano()) - skew; d < -1500*time.Millisecond || d > 1500*time.Millisecond {
			t.Errorf("the first slot is %v off the clock of the server", d)
		}
	}
}

func TestTwoLimits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var warned atomic.Int64
	a := s.open(t, "k", dynamostore.Options{Limits: every(30 * time.Millisecond)})
	b := s.open(t, "k", dynamostore.Options{Limits: every(60 * time.Millisecond), Warn: func(error) { warned.Add(1) }})
	reserve(t, a)
	reserve(t, b)
	apart(t, collect(t, 5, a, b), 60*time.Millisecond)
	if warned.Load() != 1 || !a.Limit().Equal(pacer.Every(60*time.Millisecond)) {
		t.Errorf("%d warnings, and it has %v", warned.Load(), a.Limits())
	}
}

func TestMain(m *testing.M) {
	if url := os.Getenv("TEST_DYNAMOSTORE_TAKES"); url != "" {
		os.Exit(takeGrants(url))
	}
	os.Exit(m.Run())
}
