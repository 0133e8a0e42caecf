package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var today = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func create(t *testing.T) *Authority {
	t.Helper()
	a, err := Create(t.TempDir(), "Weir test", today)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCertificatesVerify(t *testing.T) {
	a := create(t)
	server, err := a.Server([]string{"gw.example", "10.0.0.5", "fd00::1"}, ServerLife)
	if err != nil {
		t.Fatal(err)
	}
	client, err := a.Client("meter-7", ClientLife)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	tests := map[string]struct {
		cert *x509.Certificate
		name string
		use  x509.ExtKeyUsage
		at   time.Time
		ok   bool
	}{
		"by name":             {server, "gw.example", x509.ExtKeyUsageServerAuth, today, true},
		"by address":          {server, "10.0.0.5", x509.ExtKeyUsageServerAuth, today, true},
		"by IPv6":             {server, "fd00::1", x509.ExtKeyUsageServerAuth, today, true},
		"another name":        {server, "other.example", x509.ExtKeyUsageServerAuth, today, false},
		"server as a client":  {server, "", x509.ExtKeyUsageClientAuth, today, false},
		"client":              {client, "", x509.ExtKeyUsageClientAuth, today, true},
		"client as a server":  {client, "", x509.ExtKeyUsageServerAuth, today, false},
		"over":                {server, "gw.example", x509.ExtKeyUsageServerAuth, today.Add(ServerLife + time.Hour), false},
		"a clock that's late": {server, "gw.example", x509.ExtKeyUsageServerAuth, today.Add(-time.Minute), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tt.cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: tt.name, CurrentTime: tt.at, KeyUsages: []x509.ExtKeyUsage{tt.use}})
			if (err == nil) != tt.ok {
				t.Errorf("%v; want ok: %v", err, tt.ok)
			}
		})
	}
	if client.Subject.CommonName != "meter-7" {
		t.Errorf("the client is %v", client.Subject)
	}
}

func TestKeysAreClosed(t *testing.T) {
	a := create(t)
	if _, err := a.Client("m", ClientLife); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ca.key", "m.key"} {
		info, err := os.Stat(filepath.Join(a.dir, key))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s has mode %04o", key, info.Mode().Perm())
		}
	}
}

func TestOpenAgain(t *testing.T) {
	a := create(t)
	b, err := Open(a.dir, today)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Server([]string{"gw"}, ServerLife); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.TempDir(), today); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	other := create(t)
	if err := os.Rename(filepath.Join(other.dir, "ca.key"), filepath.Join(a.dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(a.dir, today); err == nil || !strings.Contains(err.Error(), "is not the key of") {
		t.Errorf("with another's key: %v", err)
	}
}

// A pair that is read while it is renewed fits, because the key stays.
func TestRenew(t *testing.T) {
	a := create(t)
	first, err := a.Server([]string{"gw", "10.0.0.5"}, ServerLife)
	if err != nil {
		t.Fatal(err)
	}
	a.now = today.AddDate(2, 0, 0)
	second, err := a.Renew(ServerName)
	if err != nil {
		t.Fatal(err)
	}
	if want := a.now.Add(ServerLife); !second.NotAfter.Equal(want) {
		t.Errorf("until %v; want %v", second.NotAfter, want)
	}
	if second.SerialNumber.Cmp(first.SerialNumber) == 0 || second.VerifyHostname("10.0.0.5") != nil || second.VerifyHostname("gw") != nil {
		t.Errorf("serial %v, names %v %v", second.SerialNumber, second.DNSNames, second.IPAddresses)
	}
	if _, err := tls.LoadX509KeyPair(certFile(a.dir, ServerName), keyFile(a.dir, ServerName)); err != nil {
		t.Error(err)
	}
	a.now = today.AddDate(19, 11, 0)
	if last, err := a.Renew(ServerName); err != nil || last.NotAfter.After(a.cert.NotAfter) {
		t.Errorf("beyond the authority's end: %v, %v", last, err)
	}
	a.now = today.AddDate(21, 0, 0)
	if _, err := a.Renew(ServerName); err == nil {
		t.Error("renewed by an authority that is over")
	}
}

// All certificates of a name are revoked, also the one before the last renewal.
func TestRevoke(t *testing.T) {
	a := create(t)
	first, err := a.Client("meter 7", ClientLife)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Renew("meter 7")
	if err != nil {
		t.Fatal(err)
	}
	other, err := a.Client("meter", ClientLife)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is once
		if n, err := a.Revoke("meter 7"); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	list, err := a.list()
	if err != nil {
		t.Fatal(err)
	}
	on := func(n *big.Int) (times int) {
		for _, e := range list {
			if e.SerialNumber.Cmp(n) == 0 {
				times++
			}
		}
		return times
	}
	if on(first.SerialNumber) != 1 || on(second.SerialNumber) != 1 || on(other.SerialNumber) != 0 {
		t.Errorf("the list: %+v", list)
	}
	if _, err := a.Revoke("nobody"); err == nil {
		t.Error("revoked what was never issued")
	}
}

func TestRefusals(t *testing.T) {
	a := create(t)
	if _, err := a.Client("there", ClientLife); err != nil {
		t.Fatal(err)
	}
	client := func(name string) func() error {
		return func() error { _, err := a.Client(name, ClientLife); return err }
	}
	server := func(hosts ...string) func() error {
		return func() error { _, err := a.Server(hosts, ServerLife); return err }
	}
	tests := map[string]struct {
		do   func() error
		want string
	}{
		"a folder that has one":   {func() error { _, err := Create(a.dir, "x", today); return err }, "is there already"},
		"the clock of a new boot": {func() error { _, err := Create(t.TempDir(), "x", time.Unix(60, 0)); return err }, "set it first"},
		"client twice":            {client("there"), "is there already"},
		"client with a wildcard":  {client("a#"), "a meaning in topics"},
		"client in a folder":      {client("a/b"), "a meaning in topics"},
		"client without a name":   {client(""), "is not of 1"},
		"client called ca":        {client("ca"), "cannot be called"},
		"client called server":    {client("server"), "cannot be called"},
		"hidden client":           {client(".x"), "cannot be called"},
		"server without a name":   {server(), "needs a name"},
		"server with a URL":       {server("https://gw"), "neither the name of a host nor an address"},
		"server with a space":     {server("a b"), "neither the name of a host nor an address"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.do(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}
