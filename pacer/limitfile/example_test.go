package limitfile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/throttle-cli/throttle/pacer"
	"github.com/throttle-cli/throttle/pacer/limitfile"
	"github.com/throttle-cli/throttle/pacer/pacehttp"
)

// example writes a throttle.toml.
func example() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "limitfile")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(dir, "throttle.toml")
	err = os.WriteFile(path, []byte(`
[limits.ec2]
rate = ["20/s", { rate = "100/h", algorithm = "sliding-window" }]
max_wait = "0s"

[limits.ec2.accounts."1234"]
rate = "5/s"

[limits.ec2.accounts.closed]
limit = 0

[limits.github]
rate = "80/m"
`), 0o600)
	if err != nil {
		panic(err)
	}
	return path, func() { _ = os.RemoveAll(dir) }
}

// Each account of a limit has a pacer of its own.
func Example() {
	path, remove := example()
	defer remove()
	file, err := limitfile.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	pacers := file.Pacers()
	for _, account := range []string{"1234", "1234", "5678"} {
		err := pacers.Do(context.Background(), "ec2", account, func(context.Context) error {
			fmt.Println("call the API for", account)
			return nil
		})
		var late *limitfile.LateError
		if errors.As(err, &late) {
			fmt.Println("no call for", account, "in the next 100 ms:", late.Wait > 100*time.Millisecond)
		}
	}
	// Output:
	// call the API for 1234
	// no call for 1234 in the next 100 ms: true
	// call the API for 5678
}

// What holds for an account, and an account that is blocked.
func ExampleFile_Lookup() {
	path, remove := example()
	defer remove()
	file, err := limitfile.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, account := range []string{"", "1234"} {
		limit, err := file.Lookup("ec2", account)
		fmt.Println(limit.Key, limit.Limits, err)
	}
	_, err = file.Lookup("ec2", "closed")
	var blocked *limitfile.BlockedError
	if errors.As(err, &blocked) {
		fmt.Println(blocked.Account, "is blocked by line", blocked.Line)
	}
	// Output:
	// ec2 20/s and 100/h,algorithm=sliding-window <nil>
	// ec2:1234 5/s <nil>
	// closed is blocked by line 10
}

// An HTTP client that goes by a limit of the file, for the account that a request is made for.
func ExamplePacers_Get() {
	path, remove := example()
	defer remove()
	file, err := limitfile.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello "+r.Header.Get("X-User"))
	}))
	defer server.Close()
	limit, err := file.Lookup("github", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	pacers := file.Pacers()
	transport := &pacehttp.Transport{
		Feedback: limit.Feedback, // its max_cooldown, and whether it is adaptive
		Pacer:    func(r *http.Request) (*pacer.Pacer, error) { return pacers.Get("github", r.Header.Get("X-User")) },
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("X-User", "alice")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	answer, err := io.ReadAll(resp.Body)
	fmt.Println(string(answer), err)
	p, err := pacers.Get("github", "alice")
	granted, _ := p.Try()
	fmt.Println(p.Limits(), err, granted)
	// Output:
	// hello alice <nil>
	// 80/m <nil> false
}
