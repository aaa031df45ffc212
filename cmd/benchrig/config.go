package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/config"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print and validate the configuration of a recorder run as a service",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigPrintCommand(), newConfigValidateCommand())
	return cmd
}

func newConfigPrintCommand() *cobra.Command {
	var file string
	var set []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print every key with its effective value and where it is from, as TOML",
		Long: `Print shows what would be in force: flags (--set) go before the environment (RON_ACC_…), that before the file, that before
the defaults.`,
		Example: `  benchrig config print
  benchrig config print --set window=60s --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, values, err := config.Load(file, os.Environ(), set)
			if err != nil {
				return configError(err)
			}
			return printConfig(cmd.OutOrStdout(), values, asJSON)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "a TOML file")
	cmd.Flags().StringArrayVar(&set, "set", nil, "set `key=value`; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printConfig(w io.Writer, values []config.Value, asJSON bool) error {
	if asJSON {
		doc := map[string]map[string]string{}
		for _, v := range values {
			doc[v.Key.Name] = map[string]string{"value": v.Text, "origin": v.Origin}
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	}
	table := ""
	for pass := range 2 { // TOML wants the keys without a table first
		for _, v := range values {
			group, name, nested := strings.Cut(v.Key.Name, ".")
			if nested != (pass == 1) {
				continue
			}
			if !nested {
				name = group
			} else if group != table {
				table = group
				fmt.Fprintf(w, "\n[%s]\n", table)
			}
			fmt.Fprintf(w, "%-20s = %-14s # %s; %s\n", name, literal(v.Text), v.Origin, v.Key.Help)
		}
	}
	return nil
}

// literal writes a value as TOML: numbers and truth values bare, all else in quotes.
func literal(text string) string {
	if _, err := strconv.Atoi(text); err == nil || text == "true" || text == "false" {
		return text
	}
	return strconv.Quote(text)
}

func newConfigValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "validate FILE",
		Short:   "Check a TOML file: every fault is named at once",
		Example: `  benchrig config validate meter.toml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := config.Load(args[0], os.Environ(), nil)
			if c != nil {
				err = errors.Join(err, c.Check())
			}
			if err != nil {
				return configError(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: valid\n", args[0])
			return nil
		},
	}
}

// configError is exit 2, one fault a line.
func configError(err error) error {
	return exitWith(exitUsage, fmt.Errorf("config: %w", err))
}
