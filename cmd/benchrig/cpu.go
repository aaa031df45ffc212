package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// cpuInfo is what cpu says, also as JSON.
type cpuInfo struct {
	CPU      string            `json:"cpu"`
	Arch     string            `json:"arch"`
	Path     string            `json:"path"`
	Why      string            `json:"why"`
	Variants []cpufeat.Variant `json:"variants"`
	Features []string          `json:"features"`
}

func newCPUCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cpu",
		Short: "Print the selected CPU path, why, and what the CPU and the build offer",
		Long: `Cpu prints which kernels this process takes. RON_ACC_CPU=generic|sse41|avx2|avx512|neon takes others; with
RON_ACC_REQUIRE=avx512 the command fails if that path is not the selected one.`,
		Example: `  benchrig cpu
  benchrig cpu --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cpufeat.Err(); err != nil {
				return exitWith(exitUsage, err)
			}
			info := cpuInfo{cpufeat.Brand(), runtime.GOARCH, cpufeat.Selected().String(), cpufeat.Why(), cpufeat.Variants(""), cpufeat.Features()}
			w := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(w).Encode(info)
			}
			fmt.Fprintf(w, "cpu       %s (%s)\npath      %s: %s\n", info.CPU, info.Arch, info.Path, info.Why)
			for _, v := range info.Variants {
				state := "available"
				if !v.Available {
					state = "not on this CPU"
				}
				fmt.Fprintf(w, "kernels   %s/%s: %s\n", v.Package, v.Name, state)
			}
			fmt.Fprintf(w, "features  %s\n", strings.Join(info.Features, " "))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
