package preset

// All returns the presets, in the order of their names.
func All() []Preset {
	return []Preset{aws(), az(), curl(), gcloud(), gh(), kubectl()}
}

// failed are conditions that count where the command has failed.
func failed(conditions ...string) []Condition {
	out := make([]Condition, len(conditions))
	for i, c := range conditions {
		out[i] = Condition{Text: c}
	}
	return out
}

// always are conditions that count whatever the command exits with.
func always(conditions ...string) []Condition {
	out := failed(conditions...)
	for i := range out {
		out[i].Always = true
	}
	return out
}

// The AWS CLI writes: An error occurred (CODE) when calling the NAME operation (reached max retries: 0): MESSAGE
func aws() Preset {
	return Preset{
		Name:    "aws",
		Summary: "the AWS CLI, version 1 or 2",
		ThrottledOn: failed(
			`stderr=An error occurred \(Thrott(ling|led)(Request)?(Exception)?\)`,
			`stderr=An error occurred \((EC2|Request)Throttled(Exception)?\)`,
			`stderr=An error occurred \((Request|Bandwidth)LimitExceeded\)`,
			`stderr=An error occurred \(ProvisionedThroughputExceededException\)`,
			`stderr=An error occurred \((SlowDown|TooManyRequests?Exception|429|509)\)`,
		),
		RetryOn: failed(
			`stderr=An error occurred \(Internal(Server|Service)?(Error|Failure)?(Exception)?\)`,
			`stderr=An error occurred \((Service)?Unavailable(Exception)?\)`,
			`stderr=An error occurred \((RequestTimeout(Exception)?|50[0234])\)`,
			`stderr=An error occurred \((PriorRequestNotComplete|TransactionInProgressException)\)`,
			`stderr=An error occurred \((LimitExceededException|IDPCommunicationError)\)`,
			`stderr=^(Could not connect to|Connect timeout on|Read timeout on) (the )?endpoint URL:`,
			`stderr=Connection was closed before we received a valid response from endpoint`,
		),
		Env: []string{"AWS_MAX_ATTEMPTS=1"},
		Notes: []string{
			"One run may still make several calls: pages of a list (--no-paginate, --max-items), the parts of an s3 transfer, waiters (aws ... wait).",
			"s3 reads the body of an object again, up to 5 times, when the connection breaks. That can't be switched off.",
			"The answer to a HEAD request has no body: a bucket that is throttled shows as code 503, which is a failure to retry and does not slow the others.",
			"LimitExceededException, PriorRequestNotComplete and TransactionInProgressException are throttling to botocore. To many services the first is a quota that waiting does not change, and the others are about the state of one resource: they are run again, and do not slow the others.",
			"The CLI does not show Retry-After: the cooldown is the backoff.",
		},
		Sources: []string{
			"https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-retries.html",
			"https://docs.aws.amazon.com/cli/latest/topic/return-codes.html",
			"github.com/boto/botocore: botocore/retries/standard.py, botocore/data/_retry.json",
			"github.com/boto/botocore: botocore/exceptions.py; the AWS CLI 1.45, with a server that throttles",
		},
	}
}

// az writes: ERROR: (CODE) MESSAGE, and before version 2.30 or so ERROR: CODE: MESSAGE or only the message.
func az() Preset {
	return Preset{
		Name:    "az",
		Summary: "the Azure CLI",
		ThrottledOn: failed(
			`stderr=\b(TooManyRequests(Received)?|\w*RequestsThrottled)\b`,
			`stderr=\b(RateLimiting|ServerBusy)\b`,
			`stderr=(?i)\btoo many requests\b`,
			`stderr=(?i)\brequests? (is|was|are|were) being throttled\b`,
		),
		RetryOn: failed(
			`stderr=\b(InternalServerError|ServiceUnavailable|GatewayTimeout|BadGateway)\b`,
			`stderr=\b(RequestTimeout|OperationTimedOut|RetryableError\w*)\b`,
			`stderr=invalid status '(Internal Server Error|Service Unavailable)'`,
			`stderr=invalid status '(Bad Gateway|Gateway Time-?out)'`,
			`stderr=(?i)\bconnection (aborted|broken|error|refused|reset|timed out)\b`,
			`stderr=Failed to establish a new connection|Max retries exceeded with url`,
		),
		Notes: []string{
			"az calls again by itself, up to 3 times, after 408, 429, 500, 502, 503 and 504, and waits for as long as Retry-After says. That can't be switched off.",
			"Extensions that are built on msrest (azure-devops) call again after 5xx, but not after 429.",
			"How long to wait is taken from the message: Please try again after '17' seconds.",
		},
		Sources: []string{
			"https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling",
			"https://learn.microsoft.com/azure/storage/common/scalability-targets-resource-provider",
			"github.com/Azure/azure-sdk-for-python: sdk/core/azure-core/azure/core/pipeline/policies/_retry.py",
			"github.com/Azure/azure-cli: src/azure-cli-core/azure/cli/core/util.py",
			"https://github.com/Azure/azure-cli/issues/11891",
		},
	}
}

// curl -sf writes nothing at all, whatever the status: it is asked to write down the headers.
func curl() Preset {
	return Preset{
		Name:    "curl",
		Summary: "curl, with -f or without",
		ThrottledOn: append(
			always(
				`headers=\AHTTP/\S+ 429\b`,
				`headers=(?is)\AHTTP/\S+ 503\b.*^retry-after:`,
			),
			failed(`stderr=The requested URL returned error: 429\b`)...,
		),
		RetryOn: append(
			always(`headers=\AHTTP/\S+ (408|50[0234]|522|524)\b`),
			failed(
				`stderr=The requested URL returned error: (408|50[0234]|522|524)\b`,
				`exit=5,6,7,12,16,18,28,35,52,55,56,92,95,96`,
			)...,
		),
		Command: "curl",
		Args:    []string{"--dump-header", HeadersFile, "--retry", "0"},
		Notes: []string{
			"The statuses, and exit codes 5, 6, 12 and 28, are those after which curl --retry calls again; 7 is that of --retry-connrefused. The others are trouble on the way to the server (of --retry-all-errors). A request that was sent may have been carried out: think of POST.",
			"The status counts without -f too: curl exits with 0 then, and has written the page that came with the error. With -f it has written nothing.",
			"--retry 0 undoes a retry in .curlrc. A --retry in the command itself wins: curl waits and calls again outside of the rate. Leave it out.",
			"The last response counts: with -L the one that the redirects led to, with several URLs that of the last one. After --next there are no headers.",
			"With -D (--dump-header) in the command the headers go to that file, and where curl is inside a script or behind another command (env, timeout, sudo) there are none: then -sS is needed, so that stderr says what the status was.",
			"FTP: only the exit codes count.",
		},
		Sources: []string{
			"https://curl.se/docs/manpage.html: --retry, --retry-all-errors, --dump-header, EXIT CODES",
			"github.com/curl/curl: src/tool_operate.c, docs/cmdline-opts/_EXITCODES.md",
			"https://www.rfc-editor.org/rfc/rfc6585#section-4",
			"https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4",
		},
	}
}

// gcloud writes: ERROR: (gcloud.GROUP.COMMAND) STATUS: MESSAGE, and details as YAML.
func gcloud() Preset {
	return Preset{
		Name:    "gcloud",
		Summary: "the Google Cloud CLI",
		ThrottledOn: append(
			failed(
				`stderr=\bRESOURCE_EXHAUSTED\b`,
				`stderr=\bQuota exceeded for quota (metric|group)\b`,
				`stderr=(?i)\b(user)?rate ?limit ?exceeded\b`,
				`stderr=\bHttpError 429\b|'status': '?429\b`,
			),
			always(`stderr=^WARNING: Some requests did not succeed\.\n - .*(?i:quota exceeded|rate limit)`)...,
		),
		RetryOn: append(
			failed(
				`stderr=\) (UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|ABORTED): `,
				`stderr=\bHttpError 50[0234]\b|'status': '?50[0234]\b`,
				`stderr=(?i)\bservice is currently unavailable\b`,
				`stderr=gcloud crashed \((\w*Timeout|\w*ConnectionError|ProtocolError|TransportError)\)`,
			),
			always(`stderr=^WARNING: Some requests did not succeed\.\n - .*(?i:unavailable|internal error)`)...,
		),
		Env: []string{"CLOUDSDK_STORAGE_MAX_RETRIES=0"},
		Notes: []string{
			"gcloud does not call again after 429. After 5xx, and when the connection fails, most commands do, up to 4 times: that can't be switched off. CLOUDSDK_STORAGE_MAX_RETRIES=0 is for downloads, and uploads in parts, of gcloud storage only.",
			"Lists of gcloud compute exit with 0 although requests have failed, and say so in a warning: it counts.",
			"RESOURCE_EXHAUSTED may also be a quota that waiting does not change. --max-throttled ends that.",
			"How long to wait is taken from retryDelay, where the service sends it.",
		},
		Sources: []string{
			"https://cloud.google.com/apis/design/errors",
			"https://cloud.google.com/compute/api-quota",
			"gcloud 528, with a server that answers 403, 429 and 503",
			"Google Cloud SDK 528: googlecloudsdk/api_lib/util/apis.py (CheckResponse)",
			"Google Cloud SDK 528: googlecloudsdk/api_lib/compute/utils.py (WarnIfPartialRequestFail)",
			"Google Cloud SDK 528: googlecloudsdk/api_lib/storage/retry_util.py",
			"Google Cloud SDK 528: apitools/base/py/http_wrapper.py",
		},
	}
}

// gh writes: gh: MESSAGE (HTTP 403), or HTTP 403: MESSAGE (URL), or GraphQL: MESSAGE
func gh() Preset {
	return Preset{
		Name:    "gh",
		Summary: "the GitHub CLI",
		ThrottledOn: failed(
			`stderr=(?i)\bAPI rate limit (already )?exceeded\b`,
			`stderr=(?i)\bsecondary rate limit\b`,
			`stderr=\bHTTP 429\b`,
			`stderr=\bwas submitted too quickly\b`,
			`stderr=(?i)\babuse detection mechanism\b`,
		),
		RetryOn: failed(
			`stderr=\bHTTP 50[0234]\b`,
			`stderr=Something went wrong while executing your query`,
			`stderr=^error connecting to `,
			`stderr=\b(connection re(set|fused)|unexpected EOF)\b`,
			`stderr=\b(TLS handshake|i/o) timeout\b`,
		),
		Env: []string{"GH_NO_UPDATE_NOTIFIER=1"},
		Notes: []string{
			"gh does not call again by itself, except in gh codespace. GH_NO_UPDATE_NOTIFIER=1 spares the call that looks for a new version.",
			"One run may make several calls: gh api --paginate, gh pr list with a high --limit, gh run watch.",
			"Exit code 1 is any failure, 2 is cancelled, 4 wants a login: none of them says whether another attempt is worth it.",
			"When the limit is reset is in the headers, which gh shows with gh api -i only: then the cooldown lasts until the reset (X-RateLimit-Reset, or Retry-After). Otherwise it's the backoff; GitHub wants at least a minute after a secondary limit.",
		},
		Sources: []string{
			"https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api",
			"https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api",
			"github.com/cli/cli: pkg/cmd/api/api.go, internal/ghcmd/cmd.go",
			"github.com/cli/go-gh: pkg/api/errors.go",
			"https://github.com/cli/cli/issues/4801",
		},
	}
}

// kubectl writes: Error from server (REASON): MESSAGE
func kubectl() Preset {
	return Preset{
		Name:    "kubectl",
		Summary: "kubectl, the Kubernetes CLI",
		ThrottledOn: failed(
			`stderr=Error from server \(TooManyRequests\)`,
			`stderr=the server has received too many requests and has asked us to try again later`,
		),
		RetryOn: failed(
			`stderr=Error from server \((ServiceUnavailable|InternalError)\)`,
			`stderr=Error from server \((Server)?Timeout\)`,
			`stderr=Error from server: etcdserver: `,
			`stderr=an error on the server \(.*\) has prevented the request from succeeding`,
			`stderr=the server is currently unable to handle the request`,
			`stderr=The connection to the server .* was refused`,
			`stderr=Unable to connect to the server: (EOF|dial tcp|net/http|read tcp|unexpected EOF)`,
		),
		Notes: []string{
			"kubectl calls again by itself, up to 10 times, after 429 and 5xx with Retry-After, which the API server sends when it throttles. That can't be switched off: a run that fails as throttled has made 11 calls.",
			"It asks for the list of API groups first, up to 5 times if that fails, unless it has that in its cache.",
			"kubectl limits its own rate too, and writes of client-side throttling then, at -v=3 or after a long wait: that does not count.",
			"An eviction that a PodDisruptionBudget forbids is TooManyRequests too. kubectl drain waits for it by itself.",
		},
		Sources: []string{
			"https://kubernetes.io/docs/concepts/cluster-administration/flow-control/",
			"github.com/kubernetes/client-go: rest/request.go, rest/with_retry.go",
			"kubectl 1.32, with a server that answers 429, 500, 503 and 504",
		},
	}
}
