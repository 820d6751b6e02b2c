package redisstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// newCluster starts a cluster of three masters, each with a replica if wanted.
func newCluster(t *testing.T, replicas bool) (nodes []*server, address string) {
	t.Helper()
	n := 3
	if replicas {
		n = 6
	}
	for range n {
		nodes = append(nodes, newServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-config-file", "nodes",
			"--repl-diskless-sync-delay", "0"))
	}
	var hosts []string
	for i, node := range nodes {
		if i < 3 {
			node.addSlots(t, i*5462, min((i+1)*5462, 16384))
		}
		node.do(t, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i > 0 {
			node.do(t, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
		}
		hosts = append(hosts, fmt.Sprint("127.0.0.1:", node.port))
	}
	for _, node := range nodes {
		until(t, func() bool {
			text := node.do(t, "CLUSTER", "INFO").(string) //nolint:forcetypeassert // it is text
			return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, fmt.Sprint("cluster_known_nodes:", n))
		})
	}
	for i := 3; i < n; i++ {
		nodes[i].do(t, "CLUSTER", "REPLICATE", nodes[i-3].do(t, "CLUSTER", "MYID"))
	}
	for i := 3; i < n; i++ {
		until(t, func() bool {
			return strings.Contains(nodes[i].do(t, "INFO", "replication").(string), "master_link_status:up") //nolint:forcetypeassert // it is text
		})
	}
	return nodes, "redis+cluster://" + strings.Join(hosts, ",")
}

// addSlots gives a node of a cluster slots.
func (s *server) addSlots(t *testing.T, from, to int) {
	t.Helper()
	args := []any{"CLUSTER", "ADDSLOTS"}
	for slot := from; slot < to; slot++ {
		args = append(args, slot)
	}
	s.do(t, args...)
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatal("it does not come about")
		}
	}
}

// collectWhile returns the slots of grants that clients take, n each, while something happens.
func collectWhile(t *testing.T, n int, happens func(), stores ...*Store) []time.Duration {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(happens)
	slots := collect(t, n, stores...)
	wg.Wait()
	if len(slots) != n*len(stores) {
		t.Errorf("there are %d grants of %d", len(slots), n*len(stores))
	}
	return slots
}

// Keys are on all nodes, a slot moves to another one while clients wait for grants of its key, and nothing is early or lost.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes, address := newCluster(t, false)
	v, err := Connect(address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	var want []string
	for i := range 12 {
		key := fmt.Sprint("key ", i)
		want = append(want, key)
		st, err := v.Open(key, Options{Limits: pacer.Limits{pacer.Every(time.Hour), pacer.Per(5, time.Hour).With(pacer.SlidingWindow)}})
		if err != nil {
			t.Fatal(err)
		}
		collect(t, 1, st)
	}
	slices.Sort(want)
	if keys, err := Keys(t.Context(), address, Options{}); err != nil || !slices.Equal(keys, want) {
		t.Errorf("%q, %v", keys, err)
	}
	for i, node := range nodes {
		if n, _ := node.do(t, "DBSIZE").(int64); n == 0 {
			t.Errorf("there is no key on node %d", i)
		}
	}

	limits := pacer.Limits{pacer.Every(10 * time.Millisecond)}
	o := Options{Limits: limits, Away: time.Minute}
	stores := []*Store{openURL(t, address, "moves", o), openURL(t, address, "moves", o), openURL(t, address, "moves", o)}
	slot, _ := nodes[0].do(t, "CLUSTER", "KEYSLOT", stores[0].keys[0]).(int64)
	from := int(slot) / 5462
	to := (from + 1) % 3
	slots := collectWhile(t, 40, func() {
		<-time.After(300 * time.Millisecond)
		moveSlot(t, nodes[from], nodes[to], nodes, int(slot))
	}, stores...)
	apart(t, slots, 10*time.Millisecond, 0)
	if n, _ := nodes[to].do(t, "CLUSTER", "COUNTKEYSINSLOT", slot).(int64); n == 0 {
		t.Error("the slot has not moved")
	}

	if err := alone(t, nodes[0], "moves"); err == nil || IsAway(err) || !strings.Contains(err.Error(), "redis+cluster://") {
		t.Errorf("a node without its cluster: %v", err)
	}
	for _, node := range nodes[1:] {
		node.kill()
	}
	for i := range 6 { // keys on all nodes
		st := openURL(t, address, fmt.Sprint("key ", i), Options{})
		if _, err := st.Status(t.Context()); err != nil && !IsAway(err) {
			t.Errorf("two of three nodes are away: %v", err)
		}
	}
	single := newServer(t)
	if _, err := openURL(t, strings.Replace(single.url(), "redis:", "redis+cluster:", 1), "k", o).Status(t.Context()); err == nil || IsAway(err) ||
		!strings.Contains(err.Error(), "it is no cluster") {
		t.Errorf("a cluster that is none: %v", err)
	}
}

// alone asks a node of a cluster for keys, of which some are elsewhere.
func alone(t *testing.T, node *server, key string) (err error) {
	t.Helper()
	for i := range 20 {
		if _, e := node.open(t, fmt.Sprint(key, i), Options{}).Status(t.Context()); e != nil && !strings.Contains(e.Error(), "no state") {
			err = e
		}
	}
	return err
}

// moveSlot moves a slot with its keys, as redis-cli does.
func moveSlot(t *testing.T, from, to *server, nodes []*server, slot int) {
	a, b := from.do(t, "CLUSTER", "MYID"), to.do(t, "CLUSTER", "MYID")
	to.do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", a)
	from.do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", b)
	for { // with clients at it, so that there are some in between
		keys, _ := from.do(t, "CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		from.do(t, append([]any{"MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS"}, keys...)...)
	}
	for _, node := range nodes {
		node.do(t, "CLUSTER", "SETSLOT", slot, "NODE", b)
	}
}

// A master of a cluster is killed, its replica takes over, and all who wait are served.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	nodes, address := newCluster(t, true)
	o := Options{Limits: pacer.Limits{pacer.Every(20 * time.Millisecond)}, Away: time.Minute}
	stores := []*Store{openURL(t, address, "k", o), openURL(t, address, "k", o), openURL(t, address, "k", o)}
	slot, _ := nodes[0].do(t, "CLUSTER", "KEYSLOT", stores[0].keys[0]).(int64)
	slots := collectWhile(t, 40, func() {
		<-time.After(300 * time.Millisecond)
		nodes[int(slot)/5462].kill()
	}, stores...)
	lost(t, slots, 20*time.Millisecond)
}

// lost checks that there is at most one grant early, after a moment of writes was lost.
func lost(t *testing.T, slots []time.Duration, d time.Duration) {
	t.Helper()
	early, longest := 0, time.Duration(0)
	for i := 1; i < len(slots); i++ {
		gap := slots[i] - slots[i-1]
		if gap < d {
			early++
		}
		longest = max(longest, gap)
	}
	t.Logf("%d grants, %d of them early, and none for %v", len(slots), early, longest)
	if early > 1 {
		t.Errorf("%d grants are early", early)
	}
	if longest < 5*d {
		t.Error("nothing was away")
	}
}

// newWatched starts a master with a replica and a sentinel that watches them.
func newWatched(t *testing.T) (master, replica *server, address string) {
	t.Helper()
	master = newServer(t, "--repl-diskless-sync-delay", "0")
	replica = newServer(t, "--replicaof", "127.0.0.1 "+fmt.Sprint(master.port), "--repl-diskless-sync-delay", "0")
	until(t, func() bool {
		return strings.Contains(replica.do(t, "INFO", "replication").(string), "master_link_status:up") //nolint:forcetypeassert // it is text
	})
	port := freePort(t)
	startSentinel(t, fmt.Sprintf("port %d\nsentinel monitor main 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n", port, master.port))
	watch := &server{t: t, port: port}
	until(t, func() bool {
		if watch.admin().Ping(context.Background()).Err() != nil {
			return false
		}
		list, _ := watch.do(t, "SENTINEL", "REPLICAS", "main").([]any)
		return len(list) == 1
	})
	return master, replica, fmt.Sprintf("redis+sentinel://127.0.0.1:%d,127.0.0.1:1/main/0", port)
}

// startSentinel starts a sentinel that ends with the test.
func startSentinel(t *testing.T, config string) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf("bind 127.0.0.1\ndir %s\nlogfile %s/log\n", dir, dir)+config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel") //nolint:gosec // that of the test
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master, _, address := newWatched(t)
	o := Options{Limits: pacer.Limits{pacer.Every(20 * time.Millisecond)}, Away: time.Minute}
	stores := []*Store{openURL(t, address, "k", o), openURL(t, address, "k", o), openURL(t, address, "k", o)}
	lost(t, collectWhile(t, 40, func() {
		<-time.After(300 * time.Millisecond)
		master.kill()
	}, stores...), 20*time.Millisecond)
	if keys, err := Keys(t.Context(), address, Options{}); err != nil || len(keys) != 1 {
		t.Errorf("%q, %v", keys, err)
	}
	_, err := openURL(t, strings.Replace(address, "/main/", "/other/", 1), "k", Options{}).Status(t.Context())
	if err == nil || IsAway(err) || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("another master: %v", err)
	}
	_, err = openURL(t, "redis+sentinel://127.0.0.1:1/main", "k", Options{}).Status(t.Context())
	if !IsAway(err) || !strings.Contains(err.Error(), "no sentinel answers") {
		t.Errorf("no sentinel: %v", err)
	}
	host := strings.Split(strings.TrimPrefix(address, "redis+sentinel://"), ",")[0]
	if _, err := openURL(t, "redis://"+host, "k", Options{}).Status(t.Context()); err == nil || IsAway(err) || !strings.Contains(err.Error(), "sentinel") {
		t.Errorf("a sentinel as a server: %v", err)
	}
}

// certificates makes a certificate for this host, and returns its files.
func certificates(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	cert, key := certificates(t)
	port := freePort(t)
	newServer(t, "--tls-port", fmt.Sprint(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "yes")
	address := fmt.Sprintf("rediss://127.0.0.1:%d/0", port)
	client := "&cert_file=" + cert + "&key_file=" + key
	for query, want := range map[string]string{
		"?ca_file=" + cert + client:   "",
		"?skip_verify=true" + client:  "",
		"?ca_file=" + cert:            "store rediss://", // the server hangs up in this way or that
		"?skip_verify=false" + client: "unknown authority",
		"?ca_file=" + key:             "no certificate",
		"?ca_file=" + cert + "&cert_file=" + key + "&key_file=" + cert: "cert_file and key_file",
	} {
		_, err := Keys(t.Context(), address+query, Options{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	if _, err := Keys(t.Context(), strings.Replace(address, "rediss:", "redis:", 1), Options{Timeout: time.Second}); err == nil {
		t.Error("without TLS it answers")
	}
}

func TestTLSOfSeveralServers(t *testing.T) {
	cert, key := certificates(t)
	files := func(port int) []string {
		return []string{"--tls-port", fmt.Sprint(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no"}
	}
	limits := pacer.Limits{pacer.Every(time.Millisecond)}

	port := freePort(t)
	node := newServer(t, append(files(port), "--cluster-enabled", "yes", "--cluster-config-file", "nodes", "--tls-cluster", "yes")...)
	node.addSlots(t, 0, 16384)
	until(t, func() bool {
		return strings.Contains(node.do(t, "CLUSTER", "INFO").(string), "cluster_state:ok") //nolint:forcetypeassert // it is text
	})
	collect(t, 3, openURL(t, fmt.Sprintf("rediss+cluster://127.0.0.1:%d?ca_file=%s", port, cert), "k", Options{Limits: limits}))

	port = freePort(t)
	newServer(t, files(port)...)
	watch := freePort(t)
	startSentinel(t, fmt.Sprintf("port 0\ntls-port %d\ntls-replication yes\ntls-auth-clients no\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n"+
		"sentinel monitor main 127.0.0.1 %d 1\n", watch, cert, key, cert, port))
	address := fmt.Sprintf("rediss+sentinel://127.0.0.1:%d/main?ca_file=%s", watch, cert)
	collect(t, 3, openURL(t, address, "k", Options{Limits: limits, Away: time.Minute}))
	if keys, err := Keys(t.Context(), address, Options{}); err != nil || !slices.Equal(keys, []string{"k"}) {
		t.Errorf("%q, %v", keys, err)
	}
}
