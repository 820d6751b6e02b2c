package preset_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/preset"
)

var update = flag.Bool("update", false, "write the tables of docs/presets.md anew")

func lookup(t *testing.T, name string) preset.Preset {
	t.Helper()
	p, err := preset.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func window(s string) *feedback.Window {
	w := feedback.NewWindow(nil)
	_, _ = w.Write([]byte(s))
	return w
}

// What the tools really write. Those of aws, curl, gcloud and kubectl are captured, with a server on this host; those of az and
// gh, which talk to their own hosts only, are put together from their source and from reports of their users.
func TestVerdicts(t *testing.T) {
	const (
		ok     = feedback.Succeeded
		failed = feedback.Failed
		retry  = feedback.Retry
		slow   = feedback.Throttled
	)
	for _, c := range []struct {
		preset string
		exit   int
		stderr string
		want   feedback.Kind
		after  time.Duration
	}{
		{"aws", 255, "\nAn error occurred (RequestLimitExceeded) when calling the DescribeInstances operation (reached max retries: 0): Request limit exceeded.\n", slow, 0},
		{"aws", 254, "\naws: [ERROR]: An error occurred (ThrottlingException) when calling the ListTables operation (reached max retries: 0): Rate exceeded\n", slow, 0},
		{"aws", 254, "\nAn error occurred (Throttling) when calling the DescribeStacks operation (reached max retries: 0): Rate exceeded\n", slow, 0},
		{"aws", 255, "\nAn error occurred (SlowDown) when calling the ListObjectsV2 operation (reached max retries: 0): Please reduce your request rate.\n", slow, 0},
		{"aws", 1, "upload failed: ./a to s3://b/k An error occurred (SlowDown) when calling the PutObject operation (reached max retries: 0): Please reduce your request rate.\n", slow, 0},
		{"aws", 254, "\nAn error occurred (ProvisionedThroughputExceededException) when calling the PutItem operation: The level of configured provisioned throughput was exceeded\n", slow, 0},
		{"aws", 254, "\nAn error occurred (TooManyRequestsException) when calling the ListAccounts operation: AWS Organizations can't complete your request\n", slow, 0},
		{"aws", 254, "\nAn error occurred (EC2ThrottledException) when calling the RunInstances operation: x\n", slow, 0},
		{"aws", 254, "\nAn error occurred (RequestThrottledException) when calling the X operation: x\n", slow, 0},
		{"aws", 254, "\nAn error occurred (BandwidthLimitExceeded) when calling the Search operation: x\n", slow, 0},
		{"aws", 255, "\nAn error occurred (429) when calling the HeadObject operation (reached max retries: 0): Too Many Requests\n", slow, 0},
		{"aws", 0, "An error occurred (Throttling) when calling the DescribeStacks operation: Rate exceeded\n", ok, 0}, // a script that went on
		{"aws", 255, "\nAn error occurred (InternalError) when calling the DescribeInstances operation (reached max retries: 0): An internal error has occurred\n", retry, 0},
		{"aws", 255, "\nAn error occurred (503) when calling the HeadObject operation (reached max retries: 0): Service Unavailable\n", retry, 0},
		{"aws", 255, "\nAn error occurred (ServiceUnavailableException) when calling the X operation: x\n", retry, 0},
		{"aws", 254, "\nAn error occurred (LimitExceededException) when calling the CreateStream operation: x\n", retry, 0},
		{"aws", 255, "\nCould not connect to the endpoint URL: \"http://127.0.0.1:1/\"\n", retry, 0},
		{"aws", 255, "\nRead timeout on endpoint URL: \"https://ec2.us-east-1.amazonaws.com/\"\n", retry, 0},
		{"aws", 255, "\nConnection was closed before we received a valid response from endpoint URL: \"http://127.0.0.1/\".\n", retry, 0},
		{"aws", 254, "\nAn error occurred (AuthFailure) when calling the DescribeInstances operation: AWS was not able to validate the provided access credentials\n", failed, 0},
		{"aws", 254, "\nAn error occurred (InternetGatewayLimitExceeded) when calling the CreateInternetGateway operation: x\n", failed, 0},
		{"aws", 252, "aws: error: argument command: Invalid choice\n", failed, 0},

		{"az", 1, "ERROR: (SubscriptionRequestsThrottled) Number of 'read' requests for subscription 'x' actor 'y' exceeded. Please try again after '6' seconds after additional tokens are available.\nCode: SubscriptionRequestsThrottled\n", slow, 6 * time.Second},
		{"az", 1, "ERROR: (TooManyRequests) The request is being throttled as the limit has been reached for operation 'GetVirtualMachine'. Please try again after '23' seconds.\n", slow, 23 * time.Second},
		{"az", 1, "ERROR: (OperationNotAllowed) The server rejected the request because too many requests have been received for this subscription.\n", slow, 0},
		{"az", 1, "ERROR: (ResourceCollectionRequestsThrottled) Operation 'Microsoft.Compute/virtualMachines/read' failed as server encountered too many requests. Please try after '5' minutes.\n", slow, 0},
		{"az", 1, "ERROR: Operation returned an invalid status 'Too Many Requests'\n", slow, 0},
		{"az", 1, "The request is being throttled.\n", slow, 0},
		{"az", 1, "ERROR: (ServerBusy) The server is busy.\nErrorCode:ServerBusy\n", slow, 0},
		{"az", 1, "ERROR: (RetryableErrorDueToAnotherOperation) Operation was canceled.\n", retry, 0},
		{"az", 1, "ERROR: (InternalServerError) Encountered internal server error.\n", retry, 0},
		{"az", 1, "ERROR: Operation returned an invalid status 'Service Unavailable'\n", retry, 0},
		{"az", 1, "ERROR: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))\n", retry, 0},
		{"az", 3, "ERROR: (ResourceNotFound) The Resource 'x' under resource group 'y' was not found.\n", failed, 0},
		{"az", 1, "ERROR: (QuotaExceeded) Operation could not be completed as it results in exceeding approved quota.\n", failed, 0},

		{"curl", 22, "curl: (22) The requested URL returned error: 429\n", slow, 0},
		{"curl", 22, "curl: (22) The requested URL returned error: 429 Too Many Requests\n", slow, 0},
		{"curl", 22, "curl: (22) The requested URL returned error: 503\n", retry, 0},
		{"curl", 22, "curl: (22) The requested URL returned error: 404\n", failed, 0},
		{"curl", 22, "curl: (22) The requested URL returned error: 501\n", failed, 0},
		{"curl", 22, "", failed, 0},
		{"curl", 7, "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server\n", retry, 0},
		{"curl", 28, "", retry, 0},
		{"curl", 3, "curl: (3) URL using bad/illegal format or missing URL\n", failed, 0},

		{"gcloud", 1, "ERROR: (gcloud.pubsub.topics.list) RESOURCE_EXHAUSTED: Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service 'x.googleapis.com' for consumer 'project_number:1'.\n- '@type': type.googleapis.com/google.rpc.RetryInfo\n  retryDelay: 13s\n", slow, 13 * time.Second},
		{"gcloud", 1, "ERROR: (gcloud.compute.instances.describe) Could not fetch resource:\n - Quota exceeded for quota group 'ReadGroup' and limit 'Read requests per user per 100 seconds' of service 'compute.googleapis.com' for consumer 'project_number:1'.\n\n", slow, 0},
		{"gcloud", 0, "WARNING: Some requests did not succeed.\n - Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service 'x.googleapis.com' for consumer 'project_number:1'.\n\nListed 0 items.\n", slow, 0},
		{"gcloud", 1, "ERROR: (gcloud.x) HttpError accessing <https://x/>: response: <{'server': 'x', 'status': 429}>, content <Rate Limit Exceeded>\n", slow, 0},
		{"gcloud", 0, "WARNING: Some requests did not succeed.\n - The service is currently unavailable.\n\nListed 0 items.\n", retry, 0},
		{"gcloud", 0, "WARNING: Some requests did not succeed.\n - Required 'compute.instances.list' permission for 'projects/x'\n\nListed 0 items.\n", ok, 0},
		{"gcloud", 1, "ERROR: (gcloud.storage.ls) UNAVAILABLE: The service is currently unavailable.\n", retry, 0},
		{"gcloud", 1, "ERROR: (gcloud.pubsub.topics.list) HttpError accessing <http://127.0.0.1/v1/projects/p1/topics?alt=json>: response: <{'server': 'x', 'content-length': '95', 'status': 503}>, content <{\"error\":{\"code\":503}}>\n", retry, 0},
		{"gcloud", 1, "ERROR: gcloud crashed (ConnectionError): HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /v1/\n", retry, 0},
		{"gcloud", 1, "ERROR: (gcloud.compute.instances.create) Could not fetch resource:\n - Quota 'CPUS' exceeded.  Limit: 24.0 in region us-central1.\n", failed, 0},
		{"gcloud", 2, "ERROR: (gcloud.compute) Invalid choice: 'x'.\n", failed, 0},

		{"gh", 1, "gh: API rate limit exceeded for user ID 123. If you reach out to GitHub Support for help, please include the request ID X. (HTTP 403)\n", slow, 0},
		{"gh", 1, "GraphQL: API rate limit already exceeded for user ID 123.\n", slow, 0},
		{"gh", 1, "HTTP 403: You have exceeded a secondary rate limit. Please wait a few minutes before you try again. (https://api.github.com/search/issues)\n", slow, 0},
		{"gh", 1, "gh: Too Many Requests (HTTP 429)\n", slow, 0},
		{"gh", 1, "pull request create failed: GraphQL: was submitted too quickly (createPullRequest)\n", slow, 0},
		{"gh", 1, "gh: Bad Gateway (HTTP 502)\n", retry, 0},
		{"gh", 1, "HTTP 502: Bad Gateway (https://api.github.com/graphql)\n", retry, 0},
		{"gh", 1, "GraphQL: Something went wrong while executing your query. Please include `X` when reporting this issue\n", retry, 0},
		{"gh", 1, "error connecting to api.github.com\ncheck your internet connection or https://githubstatus.com\n", retry, 0},
		{"gh", 1, "gh: Not Found (HTTP 404)\n", failed, 0},
		{"gh", 4, "To get started with GitHub CLI, please run:  gh auth login\n", failed, 0},

		{"kubectl", 1, "Error from server (TooManyRequests): the server has received too many requests and has asked us to try again later\n", slow, 0},
		{"kubectl", 1, "error: the server has received too many requests and has asked us to try again later (get pods)\n", slow, 0},
		{"kubectl", 1, "Error from server (ServiceUnavailable): the server is currently unable to handle the request\n", retry, 0},
		{"kubectl", 1, "Error from server (Timeout): Timeout: request did not complete within the allotted timeout\n", retry, 0},
		{"kubectl", 1, "Error from server: etcdserver: leader changed\n", retry, 0},
		{"kubectl", 1, "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n", retry, 0},
		{"kubectl", 1, "Unable to connect to the server: dial tcp: lookup x.invalid on 10.0.0.1:53: no such host\n", retry, 0},
		{"kubectl", 1, "Unable to connect to the server: x509: certificate signed by unknown authority\n", failed, 0},
		{"kubectl", 1, "Error from server (NotFound): pods \"x\" not found\n", failed, 0},
		{"kubectl", 0, "I0101 00:00:00.000000 1 request.go:729] Waited for 1.1s due to client-side throttling, not priority and fairness, request: GET:https://x/api\n", ok, 0},
	} {
		v := lookup(t, c.preset).Rules().Judge(feedback.Attempt{ExitCode: c.exit, Stderr: window(c.stderr)}, time.Now())
		if v.Kind != c.want || v.After != c.after {
			t.Errorf("%s, exit %d, %s: %s (%s) after %v; want %s after %v", c.preset, c.exit, c.stderr, v.Kind, v.Why, v.After, c.want, c.after)
		}
	}
}

// gh api -i shows when the limit is reset.
func TestResetOfGitHub(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	stdout := "HTTP/2.0 403 Forbidden\r\nX-Ratelimit-Limit: 5000\r\nX-Ratelimit-Remaining: 0\r\nX-Ratelimit-Reset: 1700000600\r\n\r\n{}"
	a := feedback.Attempt{ExitCode: 1, Stdout: window(stdout), Stderr: window("gh: API rate limit exceeded for user ID 123. (HTTP 403)\n")}
	v := lookup(t, "gh").Rules().Judge(a, now)
	if v.Kind != feedback.Throttled || v.After != 10*time.Minute {
		t.Errorf("%+v", v)
	}
}

func TestCurlHeaders(t *testing.T) {
	const redirect = "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"
	rules := lookup(t, "curl").Rules()
	for _, c := range []struct {
		exit    int
		headers string
		want    feedback.Kind
		after   time.Duration
	}{
		{22, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\n\r\n", feedback.Throttled, 3 * time.Second},
		{0, "HTTP/2 429 \r\nretry-after: 3\r\n\r\n", feedback.Throttled, 3 * time.Second},
		{22, redirect + "HTTP/2 503 \r\nserver: x\r\nretry-after: 3\r\n\r\n", feedback.Throttled, 3 * time.Second},
		{22, "HTTP/2 503 \r\nserver: x\r\n\r\n", feedback.Retry, 0},
		{0, "HTTP/1.1 500 Internal Server Error\r\n\r\n", feedback.Retry, 0},
		{22, "HTTP/1.1 404 Not Found\r\nX-Was: HTTP/1.1 429\r\n\r\n", feedback.Failed, 0},
		{0, "HTTP/1.1 429 Too Many Requests\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", feedback.Succeeded, 0},
		{0, "HTTP/1.1 200 OK\r\nRetry-After: 3\r\n\r\n", feedback.Succeeded, 0},
		{56, "HTTP/1.1 200 OK\r\n\r\n", feedback.Retry, 0},
		{0, "", feedback.Succeeded, 0},
	} {
		v := rules.Judge(feedback.Attempt{ExitCode: c.exit, Headers: window(c.headers)}, time.Now())
		if v.Kind != c.want || v.After != c.after {
			t.Errorf("exit %d, %q: %+v; want %s after %v", c.exit, c.headers, v, c.want, c.after)
		}
	}
	if !rules.Reads(feedback.Headers) || lookup(t, "aws").Rules().Reads(feedback.Headers) {
		t.Error("curl alone has headers")
	}
}

func TestInsert(t *testing.T) {
	for _, c := range []struct {
		preset, headers string
		argv, want      []string
	}{
		{"curl", "/dev/fd/3", []string{"curl", "-sf", "u"}, []string{"curl", "--dump-header", "/dev/fd/3", "--retry", "0", "-sf", "u"}},
		{"curl", "/dev/fd/3", []string{"/usr/bin/curl"}, []string{"/usr/bin/curl", "--dump-header", "/dev/fd/3", "--retry", "0"}},
		{"curl", "F", []string{"curl", "-qsf", "u"}, []string{"curl", "-q", "--dump-header", "F", "--retry", "0", "-qsf", "u"}},
		{"curl", "F", []string{"curl", "--disable", "u"}, []string{"curl", "-q", "--dump-header", "F", "--retry", "0", "--disable", "u"}},
		{"curl", "", []string{"curl", "u"}, []string{"curl", "--retry", "0", "u"}},
		{"curl", "F", []string{"curly", "u"}, []string{"curly", "u"}},
		{"curl", "F", []string{"env", "curl", "u"}, []string{"env", "curl", "u"}},
		{"curl", "F", nil, nil},
		{"aws", "F", []string{"aws", "u"}, []string{"aws", "u"}},
	} {
		before := slices.Clone(c.argv)
		p := lookup(t, c.preset)
		if got := p.Insert(c.argv, c.headers); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q became %q, want %q", c.preset, c.argv, got, c.want)
		}
		if p.Applies(c.argv) != (len(c.want) > len(c.argv)) {
			t.Errorf("%s applies to %q: %v", c.preset, c.argv, p.Applies(c.argv))
		}
		if !slices.Equal(c.argv, before) {
			t.Errorf("argv was changed to %q", c.argv)
		}
	}
}

func TestLookupSuggests(t *testing.T) {
	for name, want := range map[string]string{
		"AWS": "aws", "awscli": "aws", "aw": "aws", "azure": "az", "kubctl": "kubectl", "k8s": "kubectl", "curI": "curl",
		"gcloud-cli": "gcloud", "glcoud": "gcloud", "github": "gh", "gsutil": "gcloud", "": "", "terraform": "", "x": "", "git": "",
	} {
		_, err := preset.Lookup(name)
		suggested := want == "" && err != nil && !strings.Contains(err.Error(), "did you mean") ||
			want != "" && err != nil && strings.Contains(err.Error(), fmt.Sprintf("did you mean %q?", want))
		if !suggested || !strings.Contains(err.Error(), "aws, az, curl, gcloud, gh, kubectl") || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%q: %v; want %q", name, err, want)
		}
	}
}

func TestPresetsAreWhole(t *testing.T) {
	if !slices.IsSorted(preset.Names()) {
		t.Errorf("%q are not in order", preset.Names())
	}
	for _, p := range preset.All() {
		if p.Summary == "" || len(p.ThrottledOn) == 0 || len(p.RetryOn) == 0 || len(p.Notes) == 0 || len(p.Sources) == 0 {
			t.Errorf("%s: something is missing", p.Name)
		}
		for _, c := range slices.Concat(p.ThrottledOn, p.RetryOn) {
			if _, err := feedback.Parse(c.Text); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
		for _, e := range p.Env {
			if name, value, _ := strings.Cut(e, "="); name == "" || value == "" {
				t.Errorf("%s: %q", p.Name, e)
			}
		}
	}
}

func TestWrite(t *testing.T) {
	var b bytes.Buffer
	if err := preset.WriteList(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "aws      the AWS CLI") || strings.Count(b.String(), "\n") != len(preset.Names()) {
		t.Errorf("the list is\n%s", &b)
	}
	for _, p := range preset.All() {
		b.Reset()
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		for _, c := range slices.Concat(p.ThrottledOn, p.RetryOn) {
			if !strings.Contains(b.String(), "\n  "+c.Text) {
				t.Errorf("%s is not shown in\n%s", c.Text, &b)
			}
		}
		for _, s := range slices.Concat(p.Env, p.Sources) {
			if !strings.Contains(b.String(), s) {
				t.Errorf("%s is not shown in\n%s", s, &b)
			}
		}
	}
	b.Reset()
	if err := preset.WriteJSON(&b, preset.All()); err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Name        string
		ThrottledOn []struct {
			Condition string
			Exit0     bool `json:"exit_0"`
		} `json:"throttled_on"`
		Env []string
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(preset.All()) || got[2].ThrottledOn[0].Condition != `headers=\AHTTP/\S+ 429\b` || !got[2].ThrottledOn[0].Exit0 || got[0].ThrottledOn[0].Exit0 {
		t.Errorf("%+v", got)
	}
	if strings.Contains(b.String(), "null") {
		t.Error("a list that is empty is null")
	}
}

// docs/presets.md has what the presets have.
func TestDocs(t *testing.T) {
	const file, mark = "../../docs/presets.md", "<!-- What follows is written by: go test ./internal/preset -update -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	prose, tables, ok := strings.Cut(string(text), mark)
	if !ok {
		t.Fatalf("%s has no line %s", file, mark)
	}
	want := markdown()
	if *update {
		if err := os.WriteFile(file, []byte(prose+mark+want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if tables != want {
		t.Errorf("%s differs from the presets: go test ./internal/preset -update", file)
	}
	for line := range strings.Lines(prose + want) {
		if len(strings.TrimSuffix(line, "\n")) > 100 && !strings.Contains(line, "//") {
			t.Errorf("%s has a line of more than 100 characters: %s", file, line)
		}
	}
}

func markdown() string {
	var b strings.Builder
	for _, p := range preset.All() {
		fmt.Fprintf(&b, "\n## %s\n\nFor %s.\n\n| | |\n|---|---|\n", p.Name, p.Summary)
		rows(&b, "throttled", texts(p.ThrottledOn))
		rows(&b, "retry", texts(p.RetryOn))
		rows(&b, "environment", p.Env)
		if len(p.Args) > 0 {
			rows(&b, "put behind `"+p.Command+"`", []string{strings.ReplaceAll(strings.Join(p.Args, " "), preset.HeadersFile, "FILE")})
		}
		b.WriteByte('\n')
		items(&b, p.Notes, 98)
		b.WriteString("\nSources:\n\n")
		items(&b, p.Sources, 1000)
	}
	return b.String()
}

func texts(conditions []preset.Condition) []string {
	out := make([]string, len(conditions))
	for i, c := range conditions {
		out[i] = c.Text
		if c.Always {
			out[i] += "*" // behind the code
		}
	}
	return out
}

func rows(b *strings.Builder, title string, values []string) {
	for _, v := range values {
		v, always := strings.CutSuffix(v, "*")
		after := ""
		if always {
			after = ` \*`
		}
		fmt.Fprintf(b, "| %s | `%s`%s |\n", title, strings.ReplaceAll(v, "|", `\|`), after)
		title = ""
	}
}

func items(b *strings.Builder, values []string, width int) {
	for _, v := range values {
		line := "-"
		for word := range strings.FieldsSeq(v) {
			if len(line)+1+len(word) > width {
				b.WriteString(line + "\n")
				line = " "
			}
			line += " " + strings.ReplaceAll(word, "_", `\_`)
		}
		b.WriteString(line + "\n")
	}
}
