package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core/broker/transport"
)

func newCertCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cert",
		Short: "Make certificates for listeners and clients, signed by an authority of this gateway's own",
		Long: "Make, show and renew the certificates in a folder. Its authority (ca.pem, ca.key) is made\n" +
			"with the first one; clients trust the gateway by ca.pem. Keys are readable by their owner\n" +
			"only. A gateway that runs takes renewed certificates by itself.",
	}
	c.AddCommand(newCertNewCommand(), newCertShowCommand(), newCertRenewCommand())
	return c
}

// The files of a folder of certificates.
const (
	authorityFile = "ca"
	serverFile    = "server"
)

// certFolder are the flags of all commands.
func certFolder(c *cobra.Command, folder *string) {
	c.Flags().StringVarP(folder, "dir", "d", "tls", "folder of the certificates")
}

func newCertNewCommand() *cobra.Command {
	var (
		folder, client string
		hosts          []string
		days           int
	)
	c := &cobra.Command{
		Use:   "new",
		Short: "Make the certificate of the gateway, or with --client one of a client",
		Example: "  weir cert new --host gw.plant.example --host 10.0.0.5\n" +
			"  weir cert new --client meter-7",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if days < 1 || days > maxDays {
				return usageError{fmt.Errorf("--days is %d and must be from 1 to %d", days, maxDays)}
			}
			if client != "" && len(hosts) > 0 {
				return usageError{errors.New("--host is for the gateway, --client for a client")}
			}
			want := certWish{name: client, hosts: hosts, days: days}
			if client == "" {
				if want.hosts = hosts; len(hosts) == 0 {
					want.hosts = ownNames()
				}
			} else if err := transport.CheckIdentity(client, false); err != nil {
				return usageError{fmt.Errorf("--client %q: the name %w", client, err)}
			} else if client == authorityFile || client == serverFile {
				return usageError{fmt.Errorf("--client %q: that file belongs to the gateway", client)}
			}
			return newCert(c.OutOrStdout(), folder, want)
		},
	}
	certFolder(c, &folder)
	c.Flags().StringSliceVar(&hosts, "host", nil, "name or address by which clients reach the gateway, repeatable (default: all that this machine has)")
	c.Flags().StringVar(&client, "client", "", "make the certificate of a client, which is its user name")
	c.Flags().IntVar(&days, "days", 365, "how long it is good")
	return c
}

// newCert makes a certificate that is not there yet.
func newCert(out io.Writer, folder string, want certWish) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	file := want.file()
	if fileExists(filepath.Join(folder, file+".pem")) {
		return fmt.Errorf("%s is there already: weir cert renew makes it new", filepath.Join(folder, file+".pem"))
	}
	a, made, err := openAuthority(folder)
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintf(out, "authority %s   clients trust it: --cafile %[1]s\n", filepath.Join(folder, authorityFile+".pem"))
	}
	leaf, err := a.issue(folder, want)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "made      %s, until %s\n", filepath.Join(folder, file+".pem"), leaf.NotAfter.Format(time.DateOnly))
	if want.name != "" {
		_, err = fmt.Fprintf(out, "user      %s, on listeners with tls: {client_ca: %s}\n", want.name, filepath.Join(folder, authorityFile+".pem"))
		return err
	}
	fmt.Fprintf(out, "names     %s\n", strings.Join(namesOf(leaf), ", "))
	_, err = fmt.Fprintf(out, "use       listeners: [{name: lan, address: 0.0.0.0:8883, tls: {cert: %s, key: %s}}]\n",
		filepath.Join(folder, serverFile+".pem"), filepath.Join(folder, serverFile+".key"))
	return err
}

func newCertShowCommand() *cobra.Command {
	var folder string
	c := &cobra.Command{
		Use:   "show [FILE...]",
		Short: "Show certificates: whose they are, by whom, and until when",
		RunE: func(c *cobra.Command, files []string) error {
			if len(files) == 0 {
				var err error
				if files, err = certFiles(folder); err != nil {
					return err
				}
			}
			for _, file := range files {
				cert, err := readCertificate(file)
				if err != nil {
					return err
				}
				if err := showCertificate(c.OutOrStdout(), file, cert, time.Now()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	certFolder(c, &folder)
	return c
}

// certFiles are the certificates of a folder, the authority first.
func certFiles(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.pem"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("there is no certificate in %s: weir cert new makes one", folder)
	}
	slices.SortStableFunc(files, func(a, b string) int {
		first := func(f string) int { return strings.Compare(filepath.Base(f), authorityFile+".pem") }
		switch {
		case first(a) == 0:
			return -1
		case first(b) == 0:
			return 1
		}
		return strings.Compare(a, b)
	})
	return files, err
}

func showCertificate(out io.Writer, file string, cert *x509.Certificate, now time.Time) error {
	kind := "client"
	switch {
	case cert.IsCA:
		kind = "authority"
	case slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		kind = "server"
	}
	left := cert.NotAfter.Sub(now)
	state := fmt.Sprintf("good for %d days more", int(left.Hours()/24))
	switch {
	case left <= 0:
		state = "EXPIRED"
	case now.Before(cert.NotBefore):
		state = "not yet good"
	}
	_, err := fmt.Fprintf(out, "%s\n  %-9s %s\n  by        %s\n  until     %s, %s\n", file, kind, strings.Join(namesOf(cert), ", "),
		cert.Issuer.CommonName, cert.NotAfter.Local().Format(time.DateTime), state)
	return err
}

func newCertRenewCommand() *cobra.Command {
	var (
		folder string
		days   int
	)
	c := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Make certificates new, with their names and new keys",
		Long: "Make the gateway's certificate new, or those of the clients NAME, with the names that they\n" +
			"have and new keys. The authority stays: what trusts it needs no change.",
		RunE: func(c *cobra.Command, names []string) error {
			if days < 1 || days > maxDays {
				return usageError{fmt.Errorf("--days is %d and must be from 1 to %d", days, maxDays)}
			}
			if len(names) == 0 {
				names = []string{serverFile}
			}
			for _, name := range names {
				if err := renewCert(c.OutOrStdout(), folder, name, days); err != nil {
					return err
				}
			}
			return nil
		},
	}
	certFolder(c, &folder)
	c.Flags().IntVar(&days, "days", 365, "how long it is good")
	return c
}

func renewCert(out io.Writer, folder, name string, days int) error {
	file := filepath.Join(folder, filepath.Base(name)+".pem")
	old, err := readCertificate(file)
	if err != nil {
		return err
	}
	if old.IsCA {
		return usageError{errors.New("the authority is not renewed: make another one in a folder of its own, and have it trusted")}
	}
	if !fileExists(filepath.Join(folder, authorityFile+".key")) {
		return fmt.Errorf("%s was signed elsewhere: there is no %s.key in %s", file, authorityFile, folder)
	}
	a, _, err := openAuthority(folder)
	if err != nil {
		return err
	}
	want := certWish{days: days, hosts: namesOf(old)}
	if !slices.Contains(old.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		want = certWish{days: days, name: old.Subject.CommonName}
	}
	leaf, err := a.issue(folder, want)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "renewed   %s, until %s (was %s)\n", file, leaf.NotAfter.Format(time.DateOnly), old.NotAfter.Format(time.DateOnly))
	return err
}
