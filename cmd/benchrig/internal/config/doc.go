// Package config reads the configuration of the commands that run a recorder as a service. A key's value is taken from, in
// this order: a flag (--set key=value), the environment (RON_ACC_ and the key in capitals, _ for its dots), a TOML
// file, the default. Unknown keys are errors in all of them, and every fault is reported at once.
//
// Sizes and durations carry units: "512MiB", "300s".
package config
