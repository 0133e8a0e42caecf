package main

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/cmd/weir/internal/pki"
)

func newCertCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cert",
		Short: "Make, show, renew and revoke certificates, by an authority of one's own",
		Long: "For a gateway in a network where nobody else certifies: an authority in a folder, the\n" +
			"gateway's certificate, and certificates of clients, whose name is then their user name.",
	}
	c.AddCommand(newCertNewCommand(), newCertShowCommand(), newCertRenewCommand(), newCertRevokeCommand())
	return c
}

func certFolder(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "dir", "certs", "folder of the authority and all certificates")
}

func newCertNewCommand() *cobra.Command {
	var dir, client string
	var days int
	c := &cobra.Command{
		Use:   "new [NAME-OR-ADDRESS...]",
		Short: "Make the gateway's certificate, or with --client that of a client",
		Long: "Make the gateway's certificate, for the names and addresses by which clients find it\n" +
			"(default: those that this machine has), or with --client that of a client. The first\n" +
			"time this makes the authority, too.",
		Example: "  weir cert new\n  weir cert new gateway.plant.example 10.0.0.5\n  weir cert new --client meter-7",
		RunE: func(c *cobra.Command, hosts []string) error {
			if client != "" && len(hosts) > 0 {
				return usageError{errors.New("a client's certificate has no other names: only --client NAME")}
			}
			life := time.Duration(days) * 24 * time.Hour
			if c.Flags().Changed("days") && days < 1 {
				return usageError{fmt.Errorf("--days (%d) must be at least 1", days)}
			}
			out := c.OutOrStdout()
			a, err := openAuthority(out, dir)
			if err != nil {
				return err
			}
			if client != "" {
				return newClientCertificate(out, a, dir, client, orDefault(life, pki.ClientLife))
			}
			if len(hosts) == 0 {
				if hosts, err = ownHosts(); err != nil {
					return err
				}
			}
			return newServerCertificate(out, a, dir, hosts, orDefault(life, pki.ServerLife))
		},
	}
	certFolder(c, &dir)
	c.Flags().StringVar(&client, "client", "", "user name of a client to make a certificate for")
	c.Flags().IntVar(&days, "days", 0, "how long it lasts; default 825 for the gateway, 3650 for a client")
	return c
}

func orDefault(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}

// openAuthority opens the folder's authority, and makes it if there is none.
func openAuthority(out io.Writer, dir string) (*pki.Authority, error) {
	a, err := pki.Open(dir, time.Now())
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if a, err = pki.Create(dir, "Weir "+host, time.Now()); err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "wrote  %-28s the authority: who trusts it trusts the gateway\n", filepath.Join(dir, "ca.pem"))
	fmt.Fprintf(out, "wrote  %-28s its key: whoever has it can certify anybody\n", filepath.Join(dir, "ca.key"))
	return a, nil
}

func newServerCertificate(out io.Writer, a *pki.Authority, dir string, hosts []string, life time.Duration) error {
	cert, err := a.Server(hosts, life)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, pki.ServerName)
	fmt.Fprintf(out, "wrote  %-28s for %s\n", file+".pem", strings.Join(hosts, ", "))
	fmt.Fprintf(out, "wrote  %-28s until %s\n\n", file+".key", cert.NotAfter.Format(time.DateOnly))
	_, err = fmt.Fprintf(out, `in weir.yaml:

  listeners:
    - name: lan
      address: 0.0.0.0:8883
      tls: {cert: %[1]s/server.pem, key: %[1]s/server.key}
      # clients with certificates only: client_ca: %[1]s/ca.pem, crl: %[1]s/revoked.pem
`, dir)
	return err
}

func newClientCertificate(out io.Writer, a *pki.Authority, dir, name string, life time.Duration) error {
	cert, err := a.Client(name, life)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, name)
	fmt.Fprintf(out, "wrote  %-28s user %s\n", file+".pem", name)
	_, err = fmt.Fprintf(out, "wrote  %-28s until %s\n\nthe client needs both, and %s\n", file+".key", cert.NotAfter.Format(time.DateOnly), filepath.Join(dir, "ca.pem"))
	return err
}

// ownHosts are the names and addresses of this machine.
func ownHosts() ([]string, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if !strings.Contains(host, ".") {
		hosts = append(hosts, host+".local")
	}
	hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			hosts = append(hosts, n.IP.String())
		}
	}
	return hosts, nil
}

func newCertShowCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "show [FILE...]",
		Short: "Show certificates: whose, for what, until when; exit code 1 if one is over",
		RunE: func(c *cobra.Command, files []string) error {
			if len(files) == 0 {
				names, err := pki.Names(dir)
				if err != nil {
					return err
				}
				for _, n := range names {
					files = append(files, filepath.Join(dir, n+".pem"))
				}
			}
			if len(files) == 0 {
				return fmt.Errorf("no certificates in %s: weir cert new makes them", dir)
			}
			return showCertificates(c.OutOrStdout(), files, time.Now())
		},
	}
	certFolder(c, &dir)
	return c
}

func showCertificates(out io.Writer, files []string, now time.Time) error {
	var over []string
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tNAME\tUNTIL\tLEFT\tFOR\tSHA-256")
	for _, file := range files {
		c, err := pki.ReadCertificate(file)
		if err != nil {
			return err
		}
		left := c.NotAfter.Sub(now)
		if left <= 0 {
			over = append(over, file)
		}
		sum := sha256.Sum256(c.Raw)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%X\n", file, c.Subject.CommonName, c.NotAfter.Format(time.DateOnly), daysLeft(left), purpose(c), sum[:8])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(over) > 0 {
		return fmt.Errorf("over: %s (weir cert renew)", strings.Join(over, ", "))
	}
	return nil
}

func daysLeft(left time.Duration) string {
	days := int(left.Hours() / 24)
	switch {
	case left <= 0:
		return "over"
	case days < 1:
		return "less than a day"
	}
	return fmt.Sprintf("%s days", count(days))
}

// purpose is what a certificate is for.
func purpose(c *x509.Certificate) string {
	switch {
	case c.IsCA:
		return "authority"
	case slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return "client"
	}
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return "server " + strings.Join(names, " ")
}

func newCertRenewCommand() *cobra.Command {
	var dir string
	var within int
	c := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Issue certificates again, for the same key: those named, or those that end soon",
		Long: "Issue certificates again, for the same key and names: those named (server, or a client),\n" +
			"or without names all that end within --within days. A running gateway takes its own\n" +
			"within a few seconds. Made for a timer: what does not end soon is left alone.",
		RunE: func(c *cobra.Command, names []string) error {
			now := time.Now()
			a, err := pki.Open(dir, now)
			if err != nil {
				return err
			}
			if len(names) == 0 {
				if names, err = endingSoon(dir, now.AddDate(0, 0, within)); err != nil {
					return err
				}
			}
			for _, name := range names {
				cert, err := a.Renew(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "renewed  %s  until %s\n", filepath.Join(dir, name+".pem"), cert.NotAfter.Format(time.DateOnly))
			}
			if len(names) == 0 {
				fmt.Fprintf(c.OutOrStdout(), "nothing ends within %d days\n", within)
			}
			return nil
		},
	}
	certFolder(c, &dir)
	c.Flags().IntVar(&within, "within", 60, "days that a certificate may have left and is renewed")
	return c
}

// endingSoon are the certificates of a folder that end before a time, without the
// authority, which can't be renewed without everybody who trusts it.
func endingSoon(dir string, before time.Time) (soon []string, err error) {
	names, err := pki.Names(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c, err := pki.ReadCertificate(filepath.Join(dir, name+".pem"))
		if err != nil {
			return nil, err
		}
		if !c.IsCA && c.NotAfter.Before(before) {
			soon = append(soon, name)
		}
	}
	return soon, nil
}

func newCertRevokeCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Put all certificates of a client on the revocation list (tls.crl)",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := pki.Open(dir, time.Now())
			if err != nil {
				return err
			}
			n, err := a.Revoke(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "revoked  %s (%d on the list %s); a gateway with tls.crl ends its connections\n", args[0], n, filepath.Join(dir, "revoked.pem"))
			return err
		},
	}
	certFolder(c, &dir)
	return c
}
