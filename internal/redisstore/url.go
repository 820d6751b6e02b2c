package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A place is what a URL says of a server, or of several.
type place struct {
	scheme   string   // one of schemes
	hosts    []string // "host:port"
	master   string   // its name, of redis+sentinel
	db       int
	user     string
	password string
	from     string // where the password is from, if not from the URL
	options  map[string]string
}

// Kinds of places, and what a connection to them is.
const (
	single   = "redis"
	tlsOne   = "rediss"
	sentinel = "redis+sentinel"
	tlsWatch = "rediss+sentinel"
	cluster  = "redis+cluster"
	tlsMany  = "rediss+cluster"
)

// schemes returns the schemes there are, each with the form of its URLs.
func schemes() map[string]string {
	return map[string]string{
		single: "redis://[user:pass@]host:6379/0", tlsOne: "rediss://[user:pass@]host:6379/0",
		sentinel: "redis+sentinel://[user:pass@]host:26379,host2:26379/MASTER/0", tlsWatch: "rediss+sentinel://[user:pass@]host:26379,host2:26379/MASTER/0",
		cluster: "redis+cluster://[user:pass@]host:6379,host2:6379", tlsMany: "rediss+cluster://[user:pass@]host:6379,host2:6379",
	}
}

func (p *place) tls() bool                { return strings.HasPrefix(p.scheme, "rediss") }
func (p *place) sentinel() bool           { return strings.HasSuffix(p.scheme, "+sentinel") }
func (p *place) cluster() bool            { return strings.HasSuffix(p.scheme, "+cluster") }
func (p *place) form() string             { return "a URL such as " + schemes()[p.scheme] }
func (p *place) String() string           { return p.scheme + "://" + strings.Join(p.hosts, ",") + p.path() }
func (p *place) get(option string) string { return p.options[option] }

func (p *place) path() string {
	switch {
	case p.sentinel():
		return "/" + url.PathEscape(p.master) + "/" + strconv.Itoa(p.db)
	case p.cluster():
		return ""
	}
	return "/" + strconv.Itoa(p.db)
}

// Options of a URL. Those that go-redis has, too, have its names.
const (
	optDB               = "db"
	optClientName       = "client_name"
	optPoolSize         = "pool_size"
	optPasswordFile     = "password_file"
	optSkipVerify       = "skip_verify"
	optCAFile           = "ca_file"
	optCertFile         = "cert_file"
	optKeyFile          = "key_file"
	optSentinelUser     = "sentinel_username"
	optSentinelPassword = "sentinel_password_file" //nolint:gosec // a name
)

// known returns the options that a URL of this scheme may have.
func (p *place) known() []string {
	list := []string{optClientName, optPoolSize, optPasswordFile}
	if !p.cluster() {
		list = append(list, optDB)
	}
	if p.sentinel() {
		list = append(list, optSentinelUser, optSentinelPassword)
	}
	if p.tls() {
		list = append(list, optSkipVerify, optCAFile, optCertFile, optKeyFile)
	}
	slices.Sort(list)
	return list
}

// parseURL reads the URL of a server. An error quotes nothing that may be a part of a password.
func parseURL(address string) (*place, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || schemes()[scheme] == "" {
		return nil, errors.New("the scheme is none of redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// and rediss+cluster://")
	}
	p := &place{scheme: scheme, options: map[string]string{}}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.ContainsAny(tail, "@#") { // a password that was cut in two must not be taken for a host
		return nil, errors.New("there is an @ or # behind the host: in a user name, a password or an option @ / ? # have to be written as %40 %2F %3F %23")
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if err := p.setUser(authority[:i]); err != nil {
			return nil, err
		}
		authority = authority[i+1:]
	}
	if err := p.setHosts(authority); err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(tail, "?")
	if err := p.setPath(strings.Trim(path, "/")); err != nil {
		return nil, err
	}
	return p, p.setOptions(query)
}

func (p *place) setUser(info string) error {
	user, password, _ := strings.Cut(info, ":")
	var err, err1 error
	p.user, err = url.PathUnescape(user)
	p.password, err1 = url.PathUnescape(password)
	if err != nil || err1 != nil {
		return errors.New("in the user name or the password a % is not followed by two hexadecimal digits: % itself is %25")
	}
	return nil
}

func (p *place) setHosts(authority string) error {
	port := "6379"
	if p.sentinel() {
		port = "26379"
	}
	for address := range strings.SplitSeq(authority, ",") {
		if address == "" || address[0] == ':' {
			return fmt.Errorf("there is no host: it takes %s", p.form())
		}
		u, err := url.Parse("redis://" + address)
		if err != nil || u.Host != address || strings.HasSuffix(address, ":") || address[0] != '[' && strings.Count(address, ":") > 1 {
			return fmt.Errorf("%q is not a host with a port: it takes %s", address, p.form())
		}
		n, err := strconv.Atoi(orDefault(u.Port(), port))
		if err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("there is no port %q", u.Port())
		}
		p.hosts = append(p.hosts, net.JoinHostPort(u.Hostname(), strconv.Itoa(n)))
	}
	if len(p.hosts) > 1 && !p.sentinel() && !p.cluster() {
		return fmt.Errorf("there are several hosts: of a cluster the URL is %s, with sentinels %s", schemes()[cluster], schemes()[sentinel])
	}
	return nil
}

func (p *place) setPath(path string) error {
	if p.sentinel() {
		master, rest, _ := strings.Cut(path, "/")
		name, err := url.PathUnescape(master)
		if err != nil || name == "" {
			return fmt.Errorf("the name of the master is missing: it takes %s", p.form())
		}
		p.master, path = name, rest
	}
	if p.cluster() {
		if path != "" && path != "0" {
			return fmt.Errorf("database %q: a cluster has none but 0", path)
		}
		return nil
	}
	return p.setDB(path)
}

func (p *place) setDB(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return fmt.Errorf("database %q is no number: it takes %s", text, p.form())
	}
	p.db = n
	return nil
}

func (p *place) setOptions(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("its options are not ?NAME=VALUE&NAME=VALUE")
	}
	for name, value := range values {
		switch {
		case !slices.Contains(p.known(), name):
			return fmt.Errorf("there is no option %q: of %s:// there are %s", name, p.scheme, strings.Join(p.known(), ", "))
		case len(value) > 1:
			return fmt.Errorf("option %q is there more than once", name)
		}
		p.options[name] = value[0]
	}
	if n := p.get(optPoolSize); n != "" {
		if size, err := strconv.Atoi(n); err != nil || size < 1 {
			return fmt.Errorf("option %s=%q: it takes a number of connections", optPoolSize, n)
		}
	}
	if b := p.get(optSkipVerify); b != "" {
		if _, err := strconv.ParseBool(b); err != nil {
			return fmt.Errorf("option %s=%q: it takes true or false", optSkipVerify, b)
		}
	}
	if (p.get(optCertFile) == "") != (p.get(optKeyFile) == "") {
		return fmt.Errorf("of options %s and %s there is only one", optCertFile, optKeyFile)
	}
	if p.password != "" && p.get(optPasswordFile) != "" {
		return fmt.Errorf("there is a password and the option %s: which one is it?", optPasswordFile)
	}
	return p.setDB(p.get(optDB))
}

// passwordEnv is the variable that redis-cli takes a password from, too.
const passwordEnv = "REDISCLI_AUTH" //nolint:gosec // a name

// findPassword takes the password from a file or the environment where the URL has none.
func (p *place) findPassword(getenv func(string) string) (err error) {
	switch file := p.get(optPasswordFile); {
	case file != "":
		p.password, err = readPassword(file)
		p.from = file
	case p.password == "":
		if p.password = getenv(passwordEnv); p.password != "" {
			p.from = "$" + passwordEnv
		}
	}
	return err
}

func readPassword(path string) (string, error) {
	b, err := os.ReadFile(path) //nolint:gosec // it is the user's
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("password: the first line of %q is empty", path)
	}
	return line, nil
}

func (p *place) tlsConfig() (*tls.Config, error) {
	if !p.tls() {
		return nil, nil //nolint:nilnil // none is what the client takes for no TLS
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	c.InsecureSkipVerify, _ = strconv.ParseBool(p.get(optSkipVerify)) //nolint:gosec // it was asked for
	if file := p.get(optCAFile); file != "" {
		b, err := os.ReadFile(file) //nolint:gosec // it is the user's
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", optCAFile, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("option %s: there is no certificate in %q", optCAFile, file)
		}
	}
	if file := p.get(optCertFile); file != "" {
		pair, err := tls.LoadX509KeyPair(file, p.get(optKeyFile))
		if err != nil {
			return nil, fmt.Errorf("options %s and %s: %w", optCertFile, optKeyFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// client returns a client, which connects once it is used.
func (p *place) client(timeout time.Duration) (redis.UniversalClient, error) {
	secure, err := p.tlsConfig()
	if err != nil {
		return nil, err
	}
	size, _ := strconv.Atoi(p.get(optPoolSize))
	o := &redis.UniversalOptions{
		Addrs: p.hosts, MasterName: p.master, DB: p.db, Username: p.user, Password: p.password, ClientName: p.get(optClientName),
		SentinelUsername: p.get(optSentinelUser), TLSConfig: secure, PoolSize: size,
		MaxRetries: -1, DialerRetries: 1, // to ask twice is to wait twice
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout, ContextTimeoutEnabled: true,
		Protocol: 2, DisableIdentity: true, PipelinePoolSize: -1, // to connect is one round trip less, or none
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if file := p.get(optSentinelPassword); file != "" {
		if o.SentinelPassword, err = readPassword(file); err != nil {
			return nil, err
		}
	}
	if p.cluster() {
		c := o.Cluster()
		c.Dialer = p.dialer(timeout, secure)
		c.DisableRoutingPolicies = true // which keys a call is about is known without asking the server
		return redis.NewClusterClient(c), nil
	}
	return redis.NewUniversalClient(o), nil
}

// dialer returns what connects to the nodes of a cluster. One that does not know its own address says that it is at no host: that is
// the one that was asked.
func (p *place) dialer(timeout time.Duration, secure *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout}
	dial := d.DialContext
	if secure != nil {
		dial = (&tls.Dialer{NetDialer: d, Config: secure}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
			host, _, _ = net.SplitHostPort(p.hosts[0])
			address = net.JoinHostPort(host, port)
		}
		return dial(ctx, network, address)
	}
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
