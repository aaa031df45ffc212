package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/pipeline/adapter/token"
)

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, narrow and read the adapter's tokens",
		Long: `Tokens are macaroons; who holds one can narrow it. Tokens are read from standard input, never from the command line, which
others can see.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTokenKeyCommand(), newTokenMintCommand(), newTokenAttenuateCommand(), newTokenInspectCommand())
	return cmd
}

func newTokenKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "key NAME",
		Short:   "Print a fresh root key, as a line for the file of --token-keys",
		Example: `  (umask 077; benchrig token key 2030-a > keys)`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var secret [32]byte
			_, _ = rand.Read(secret[:]) // never fails
			line := args[0] + " " + hex.EncodeToString(secret[:]) + "\n"
			if _, err := token.ParseRing([]byte(line)); err != nil {
				return usagef("NAME: want 1 to 32 of [a-z0-9_-]")
			}
			_, err := io.WriteString(cmd.OutOrStdout(), line)
			return err
		},
	}
}

// caveatFlag adds --caveat; the caveats are parsed by caveats.
func caveatFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringArray("caveat", nil, "narrow the token: tenant=, dimension=, aud=, exp= or path=; may be repeated")
}

func caveats(texts []string) ([]token.Caveat, error) {
	var out []token.Caveat
	for _, s := range texts {
		c, err := token.ParseCaveat(s)
		if err != nil {
			return nil, usagef("--caveat: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

func newTokenMintCommand() *cobra.Command {
	var keys string
	cmd := &cobra.Command{
		Use:   "mint --keys FILE",
		Short: "Make a token with the first root key of a file",
		Example: `  benchrig token mint --keys keys --caveat path=/export
  benchrig token mint --keys keys --caveat tenant=00000000000000000000000000000007 --caveat exp=2030-01-01T00:00:00Z`,
		Args: cobra.NoArgs,
	}
	list := caveatFlag(cmd)
	cmd.Flags().StringVar(&keys, "keys", "", "the file of root keys, mode 0600")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if keys == "" {
			return usagef("--keys: want the file of root keys")
		}
		all, err := caveats(*list)
		if err != nil {
			return err
		}
		ring, err := token.ReadRing(keys)
		if err != nil {
			return err
		}
		text, err := ring.Mint(all...)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), text)
		return nil
	}
	return cmd
}

func newTokenAttenuateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "attenuate --caveat C",
		Short:   "Narrow the token on standard input; needs no key",
		Example: `  benchrig token attenuate --caveat dimension=bytes < token`,
		Args:    cobra.NoArgs,
	}
	list := caveatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(*list) == 0 {
			return usagef("--caveat: want at least one")
		}
		all, err := caveats(*list)
		if err != nil {
			return err
		}
		text, err := readToken(cmd.InOrStdin())
		if err == nil {
			text, err = token.Attenuate(text, all...)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), text)
		return nil
	}
	return cmd
}

func newTokenInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "inspect",
		Short:   "Show the key and the caveats that the token on standard input names; nothing is verified",
		Example: `  benchrig token inspect < token`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readToken(cmd.InOrStdin())
			if err != nil {
				return err
			}
			in, err := token.Inspect(text)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %s\n", in.Key)
			for _, c := range in.Caveats {
				fmt.Fprintf(cmd.OutOrStdout(), "caveat %s\n", c)
			}
			return nil
		},
	}
}

// readToken reads one line.
func readToken(r io.Reader) (string, error) {
	s, err := bufio.NewReader(io.LimitReader(r, 16<<10)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSpace(s), nil
}
