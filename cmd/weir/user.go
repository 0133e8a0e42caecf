package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-edge/weir/configs"
	"github.com/weir-edge/weir/core/auth"
)

func newUserCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Add, change, remove and list the users of a users file",
		Long: "Change the users file that a configuration names under auth.users. A gateway that\n" +
			"runs takes the change on SIGHUP: systemctl reload weir.",
	}
	c.AddCommand(newUserAddCommand(), newUserPasswdCommand(), newUserRmCommand(), newUserLsCommand())
	return c
}

// usersFile are the flags that say which file it is about.
type usersFile struct{ config, file string }

func (u *usersFile) flags(c *cobra.Command) {
	c.Flags().StringVarP(&u.config, "config", "c", "", "configuration that names the users file; default weir.yaml here, else in /etc/weir")
	c.Flags().StringVarP(&u.file, "file", "f", "", "the users file itself")
}

// path is the users file.
func (u *usersFile) path() (string, error) {
	if u.file != "" {
		return u.file, nil
	}
	config, err := usualConfig(u.config)
	if err != nil {
		return "", usageError{errors.New("say which file: --config weir.yaml, or --file users.txt")}
	}
	path, err := configs.UsersFile(config)
	if err != nil {
		return "", configError{err}
	}
	return path, nil
}

// usualConfig is the configuration that was named, or the one where they usually are.
func usualConfig(named string) (string, error) {
	for _, usual := range []string{"weir.yaml", "/etc/weir/weir.yaml"} {
		if named == "" && fileExists(usual) {
			named = usual
		}
	}
	if named == "" {
		return "", usageError{errors.New("say which configuration: --config weir.yaml")}
	}
	return named, nil
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// newPassword are the flags that say where a password comes from and what is kept
// of it.
type newPassword struct {
	file       string
	random     bool
	scram      bool
	iterations int
}

func (p *newPassword) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.file, "password-file", "", "file with the password; - is the standard input (default: ask for it)")
	f.BoolVar(&p.random, "random", false, "draw a password and show it once")
	f.BoolVar(&p.scram, "scram", false, "keep the password for SCRAM-SHA-256, so that the user can log in without saying it")
	f.IntVar(&p.iterations, "iterations", auth.ScramIterations, "of SCRAM-SHA-256; the client has to do as many")
	c.MarkFlagsMutuallyExclusive("password-file", "random")
}

// read gets the password.
func (p *newPassword) read(c *cobra.Command) ([]byte, error) {
	var password []byte
	var err error
	switch {
	case p.random:
		return []byte(auth.NewSecret()), nil
	case p.file == "-":
		password, err = firstLine(c.InOrStdin())
	case p.file != "":
		if password, err = os.ReadFile(p.file); err == nil {
			password = bytes.TrimRight(password, "\r\n")
		}
	default:
		password, err = askPassword(c.Context(), c.ErrOrStderr())
	}
	if err != nil {
		return nil, err
	}
	return password, auth.CheckPassword(password)
}

// firstLine reads a line without its end.
func firstLine(r io.Reader) ([]byte, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// askPassword asks twice, without showing what is typed. An end of the command
// meanwhile leaves the terminal as it was.
func askPassword(ctx context.Context, prompt io.Writer) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, usageError{errors.New("there is no terminal to ask on: give --password-file FILE, --password-file - or --random")}
	}
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		term.Restore(fd, before)
		os.Exit(exitFailed)
	})
	defer stop()
	var said [2][]byte
	for i, question := range []string{"Password: ", "Again: "} {
		fmt.Fprint(prompt, question)
		said[i], err = term.ReadPassword(fd)
		fmt.Fprintln(prompt)
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
	}
	if !bytes.Equal(said[0], said[1]) {
		return nil, errors.New("the two are not the same")
	}
	return said[0], nil
}

// credential asks for a password and gives what the file keeps. shown is the
// password where it was drawn.
func (p *newPassword) credential(c *cobra.Command) (credential, shown string, err error) {
	password, err := p.read(c)
	if err != nil {
		return "", "", err
	}
	iterations := 0
	if p.scram {
		iterations = p.iterations
	}
	if credential, err = auth.Credential(password, iterations); err != nil {
		return "", "", usageError{err}
	}
	if p.random {
		shown = string(password)
	}
	return credential, shown, nil
}

func newUserAddCommand() *cobra.Command {
	return changeUser("add NAME", "Add a user, and make the file if there is none", "added", auth.AddUser)
}

func newUserPasswdCommand() *cobra.Command {
	return changeUser("passwd NAME", "Give a user another password", "changed", auth.SetUser)
}

// changeUser is a command that asks for a password and puts it into the file.
func changeUser(use, short, did string, change func(file, name, credential string) error) *cobra.Command {
	var (
		file     usersFile
		password newPassword
	)
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := file.path()
			if err != nil {
				return err
			}
			if err := auth.CheckName(args[0]); err != nil {
				return usageError{err}
			}
			credential, shown, err := password.credential(c)
			if err != nil {
				return err
			}
			if err := change(path, args[0], credential); err != nil {
				return userError(path, args[0], err)
			}
			out := c.OutOrStdout()
			fmt.Fprintf(out, "%s %s in %s; a gateway that runs takes it on SIGHUP\n", did, args[0], path)
			if shown != "" {
				fmt.Fprintf(out, "password  %s   (it is shown only now)\n", shown)
			}
			return nil
		},
	}
	file.flags(c)
	password.flags(c)
	return c
}

// userError says what to do about an edit that failed.
func userError(path, name string, err error) error {
	switch {
	case errors.Is(err, auth.ErrUserExists):
		return fmt.Errorf("%s: %w: weir user passwd %s gives it another password", name, err, name)
	case errors.Is(err, auth.ErrNoUser):
		return fmt.Errorf("%s: %w in %s: weir user ls lists them", name, err, path)
	}
	return err
}

func newUserRmCommand() *cobra.Command {
	var file usersFile
	c := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a user; its connections end when the gateway reloads",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := file.path()
			if err != nil {
				return err
			}
			if err := auth.RemoveUser(path, args[0]); err != nil {
				return userError(path, args[0], err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "removed %s from %s; a gateway that runs takes it on SIGHUP\n", args[0], path)
			return err
		},
	}
	file.flags(c)
	return c
}

func newUserLsCommand() *cobra.Command {
	var file usersFile
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the users and how their passwords are kept",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := file.path()
			if err != nil {
				return err
			}
			users, err := auth.ReadUsers(path)
			if err != nil {
				return err
			}
			for _, e := range users.Entries() {
				fmt.Fprintf(c.OutOrStdout(), "%-24s %s\n", e.Name, e.Kind)
			}
			return nil
		},
	}
	file.flags(c)
	return c
}
