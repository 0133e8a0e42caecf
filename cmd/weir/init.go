package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weir-edge/weir/core/auth"
)

func newInitCommand() *cobra.Command {
	var address, user string
	c := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a configuration for the network, with one user and a password that is its own",
		Long: "Write weir.yaml and users.txt into a folder (default: this one): a broker that the\n" +
			"network reaches, for users only. The one user has a password that was drawn for it\n" +
			"and is shown once. What is there already stays as it is.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			folder := "."
			if len(args) > 0 {
				folder = args[0]
			}
			if _, _, err := net.SplitHostPort(address); err != nil {
				return usageError{fmt.Errorf("--address: %w", err)}
			}
			if err := auth.CheckName(user); err != nil {
				return usageError{err}
			}
			return initialise(c.OutOrStdout(), folder, address, user)
		},
	}
	c.Flags().StringVar(&address, "address", "0.0.0.0:1883", "where the network finds the broker")
	c.Flags().StringVar(&user, "user", "first", "name of the user")
	return c
}

const initialConfig = `# Made by weir init. Everything that is not here has its default; the whole
# reference is configs/weir.yaml.
#
#   weir config check weir.yaml    says what is wrong
#   weir user add NAME             adds a user; then: systemctl reload weir

listeners:
  - name: lan
    address: %q
    anonymous: false   # users only; with tls: {cert: …, key: …} nobody on the way reads along

auth:
  users: users.txt
  acl:   # the first rule that fits decides; what none allows is denied
    - {allow: [publish, subscribe], topics: "#"}   # everything but $SYS, for each user
`

// initialise writes both files, or none.
func initialise(out io.Writer, folder, address, user string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	config, users := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "users.txt")
	for _, file := range []string{config, users} {
		if fileExists(file) {
			return fmt.Errorf("%s is there already: nothing was written", file)
		}
	}
	secret := auth.NewSecret()
	credential, err := auth.Credential([]byte(secret), 0)
	if err != nil {
		return err
	}
	if err := auth.AddUser(users, user, credential); err != nil {
		return err
	}
	if err := writeNew(config, fmt.Sprintf(initialConfig, address)); err != nil {
		os.Remove(users)
		return err
	}
	_, port, _ := net.SplitHostPort(address) // was checked
	fmt.Fprintf(out, "wrote     %s   a broker on %s, for users only\n", config, address)
	fmt.Fprintf(out, "wrote     %s   one user\n", users)
	fmt.Fprintf(out, "user      %s\npassword  %s   (it is shown only now)\n\n", user, secret)
	fmt.Fprintf(out, "start     weir run --config %s\n", config)
	_, err = fmt.Fprintf(out, "try       weir sub -p %s -u %s -P %s -t '#' -v\n", port, user, secret)
	return err
}

// writeNew writes a file that is not there yet.
func writeNew(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
