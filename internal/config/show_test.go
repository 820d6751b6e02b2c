package config_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/throttle-cli/throttle/internal/config"
)

func TestWrite(t *testing.T) {
	c := load(t, shown)
	given := map[string]config.Given{"burst": {Texts: []string{"7"}}, "cost": {Texts: []string{"3"}, Env: "THROTTLE_COST"}}
	var b bytes.Buffer
	if err := lookup(t, c, "ec2", "1234", given).Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := lookup(t, c, "ec2", "closed", nil).Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteList(&b); err != nil {
		t.Fatal(err)
	}
	want := `limit ec2, account 1234
  every     1s            account 1234 of limit ec2, throttle.toml:12
    not     rate 20/s     limit ec2, throttle.toml:7
  burst     10            limit ec2, throttle.toml:8
    not     7             flag --burst
    not     2             defaults, throttle.toml:2
  cost      3             environment variable THROTTLE_COST
  max_wait  30s           defaults, throttle.toml:3
  key       aws-ec2-1234  limit ec2, throttle.toml:9
  attempts  3             defaults, throttle.toml:4
limit ec2, account closed
  rate      20/s            limit ec2, throttle.toml:7
  limit     0               account closed of limit ec2, throttle.toml:15
  burst     10              limit ec2, throttle.toml:8
    not     2               defaults, throttle.toml:2
  max_wait  30s             defaults, throttle.toml:3
  key       aws-ec2-closed  limit ec2, throttle.toml:9
  attempts  3               defaults, throttle.toml:4
blocked: nothing is granted (account closed of limit ec2, throttle.toml:15)
ec2   20/s                                                      2 accounts  throttle.toml:6
gh    15/m and 100/h,algorithm=sliding-window,burst=5,zone=UTC              throttle.toml:17
none  blocked (limit = 0)                                       1 account   throttle.toml:21
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}

// The names stay as they are.
func TestWriteJSON(t *testing.T) {
	c := load(t, shown)
	var b bytes.Buffer
	if err := lookup(t, c, "ec2", "1234", map[string]config.Given{"cost": {Texts: []string{"3"}, Env: "THROTTLE_COST"}}).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := []string{"account", "account_known", "blocked", "limit", "not_in_force", "values"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("%s", b.String())
	}
	values, _ := got["values"].([]any)
	for i, want := range map[int]string{
		0: `{"account":"1234","column":1,"field":"every","file":"throttle.toml","from":"account","limit":"ec2","line":12,"overruled":[{"column":1,"field":"rate","file":"throttle.toml","from":"limit","limit":"ec2","line":7,"value":["20/s"]}],"value":"1s"}`,
		2: `{"env":"THROTTLE_COST","field":"cost","flag":"--cost","from":"flag","overruled":[],"value":3}`,
		5: `{"column":1,"field":"attempts","file":"throttle.toml","from":"defaults","line":4,"overruled":[],"value":3}`,
	} {
		if text, err := json.Marshal(values[i]); err != nil || string(text) != want {
			t.Errorf("value %d is %s", i, text)
		}
	}
	b.Reset()
	if err := c.WriteListJSON(&b); err != nil {
		t.Fatal(err)
	}
	var list []any
	if err := json.Unmarshal(b.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	want := `{"accounts":[{"fields":{"rate":["1/s"]},"line":23,"name":"some"}],"fields":{"limit":0},"file":"throttle.toml","line":21,"name":"none"}`
	if text, err := json.Marshal(list[2]); err != nil || string(text) != want || strings.Contains(b.String(), "null") {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := load(t, "").WriteListJSON(&b); err != nil || b.String() != "[]\n" {
		t.Errorf("an empty list is %s", b.String())
	}
}
