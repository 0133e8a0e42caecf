package bridge

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Proxy is where connections go through. The zero value is none. Names of
// upstreams are resolved by the proxy.
type Proxy struct {
	URL      string // socks5://host:port or http://host:port
	Username string
	Password string
}

type dialer func(ctx context.Context, address string) (net.Conn, error)

// parse says what is wrong with the URL.
func (p Proxy) parse() (kind, address string, err error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return "", "", errors.New("a URL like socks5://host:1080 or http://host:3128")
	}
	port := map[string]string{"socks5": "1080", "http": "3128"}[u.Scheme]
	switch {
	case port == "":
		return "", "", errors.New("one that begins with socks5:// or http://")
	case u.User != nil:
		return "", "", errors.New("without user name and password: they have keys of their own")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return "", "", errors.New("host and port only")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return u.Scheme, net.JoinHostPort(u.Hostname(), port), nil
}

// through dials by way of the proxy.
func (p Proxy) through(dial dialer) (dialer, error) {
	kind, proxy, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	ask := p.connect
	if kind == "socks5" {
		ask = p.socks
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dial(ctx, proxy)
		if err != nil {
			return nil, &proxyError{proxy, err}
		}
		stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		err = ask(conn, address)
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			conn.Close()
			return nil, &proxyError{proxy, err}
		}
		return conn, nil
	}, nil
}

// proxyError says that it is not the upstream's doing.
type proxyError struct {
	address string
	err     error
}

func (e *proxyError) Error() string { return fmt.Sprintf("proxy %s: %v", e.address, e.err) }
func (e *proxyError) Unwrap() error { return e.err }

// connect is HTTP's CONNECT.
func (p Proxy) connect(conn net.Conn, address string) error {
	req := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if p.Username != "" {
		req += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.Username+":"+p.Password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, req+"\r\n"); err != nil {
		return err
	}
	// Nothing comes behind the answer before we speak: the buffer holds only that.
	r := bufio.NewReaderSize(conn, 4<<10)
	if begin, _ := r.Peek(len("HTTP/")); !strings.HasPrefix("HTTP/", string(begin)) {
		return errors.New("it does not speak HTTP")
	}
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("no answer to CONNECT: %w", err)
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired, resp.StatusCode == http.StatusUnauthorized: // some mix them up
		return p.unwelcome()
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("it does not connect us to %s: it answers %s", address, resp.Status)
	}
	return nil
}

// unwelcome is that the proxy takes only those whom it knows.
func (p Proxy) unwelcome() error {
	if p.Username == "" {
		return errors.New("it wants a user name and a password: give proxy.username and proxy.password_file")
	}
	return errors.New("it refused user name and password")
}

// The words of SOCKS5 (RFC 1928, RFC 1929).
const (
	socks5       = 5
	socksOpen    = 0
	socksLogin   = 2
	socksNone    = 0xFF
	socksConnect = 1
	socksIPv4    = 1
	socksName    = 3
	socksIPv6    = 4
)

var socksFaults = []string{
	"", "general failure: perhaps it does not know the name of the upstream", "its rules do not allow this", "network unreachable", "host unreachable",
	"connection refused by the upstream", "time to live expired", "it does not know CONNECT", "it does not know this kind of address",
}

func (p Proxy) socks(conn net.Conn, address string) error {
	methods := []byte{socksOpen}
	if p.Username != "" { // the proxy chooses
		methods = append(methods, socksLogin)
	}
	answer := make([]byte, 2)
	if err := say(conn, append([]byte{socks5, byte(len(methods))}, methods...), answer); err != nil {
		return err
	}
	switch method := answer[1]; {
	case answer[0] != socks5:
		return errors.New("it does not speak SOCKS5")
	case method == socksOpen:
	case method == socksLogin && p.Username != "":
		if err := p.socksLogin(conn); err != nil {
			return err
		}
	case method == socksNone:
		return p.unwelcome()
	default:
		return fmt.Errorf("it wants a kind of login (%d) that is not known here", method)
	}
	return socksTo(conn, address)
}

func (p Proxy) socksLogin(conn net.Conn) error {
	login := append([]byte{1, byte(len(p.Username))}, p.Username...)
	login = append(append(login, byte(len(p.Password))), p.Password...)
	answer := make([]byte, 2)
	if err := say(conn, login, answer); err != nil {
		return err
	}
	if answer[1] != 0 {
		return p.unwelcome()
	}
	return nil
}

func socksTo(conn net.Conn, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || len(host) > 255 {
		return fmt.Errorf("SOCKS5 cannot express %s", address)
	}
	req := append([]byte{socks5, socksConnect, 0, socksName, byte(len(host))}, host...)
	head := make([]byte, 5)
	if err := say(conn, append(req, byte(n>>8), byte(n)), head); err != nil {
		return err
	}
	if code := int(head[1]); code != 0 {
		if code < len(socksFaults) {
			return errors.New(socksFaults[code])
		}
		return fmt.Errorf("code %d", code)
	}
	rest := map[byte]int{socksIPv4: 4 - 1 + 2, socksIPv6: 16 - 1 + 2, socksName: int(head[4]) + 2}[head[3]]
	_, err = io.ReadFull(conn, make([]byte, rest)) // its own address, which tells us nothing
	return err
}

// say sends a request and reads an answer of a fixed size.
func say(conn net.Conn, request, answer []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	return nil
}
