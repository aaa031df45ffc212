package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"github.com/ron-accounting/ron-accounting/internal/cpufeat"
)

// Value is a key's effective value and where it is from.
type Value struct {
	Key    Key
	Text   string
	Origin string // default, the file's path, the variable's name, or flag
}

// EnvPrefix begins the name of every environment variable.
const EnvPrefix = "RON_ACC_"

// EnvName is the environment variable of a key.
func EnvName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Load reads path ("" for none), environ (as os.Environ has it) and set (key=value each). The error joins every fault; beside it the Config has the
// keys that could be read, and is nil where the file could not. The values are in the order of Keys.
func Load(path string, environ, set []string) (*Config, []Value, error) {
	var faults []error
	values := map[string]Value{}
	for _, k := range Keys {
		values[k.Name] = Value{k, k.Default, "default"}
	}
	give := func(name, text, origin string) {
		k, ok := find(name)
		if !ok {
			faults = append(faults, fmt.Errorf("%s: unknown key %q, want one of %s", origin, name, names()))
			return
		}
		values[name] = Value{k, text, origin}
	}
	if path != "" {
		if err := fromFile(path, give); err != nil {
			return nil, nil, err
		}
	}
	fromEnv(environ, give, func(err error) { faults = append(faults, err) })
	for _, s := range set {
		name, text, ok := strings.Cut(s, "=")
		if !ok {
			faults = append(faults, fmt.Errorf("flag: got %q, want key=value", s))
			continue
		}
		give(name, text, "flag")
	}
	c := new(Config)
	var out []Value
	for _, k := range Keys {
		v := values[k.Name]
		out = append(out, v)
		if err := k.set(c, v.Text); err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: got %q, %w", v.Origin, k.Name, v.Text, err))
			_ = k.set(c, k.Default) // so that the others can be judged
		}
	}
	if c.WAL.Dir != "" {
		c.Options.WAL = &c.WAL
	}
	return c, out, errors.Join(faults...)
}

func fromFile(path string, give func(name, text, origin string)) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), toml.Parser()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	all := k.All()
	keys := make([]string, 0, len(all))
	for name := range all {
		keys = append(keys, name)
	}
	slices.Sort(keys)
	var pairs []string
	for _, name := range keys {
		if tenant, ok := strings.CutPrefix(name, "weights."); ok {
			pairs = append(pairs, fmt.Sprintf("%s=%v", tenant, all[name]))
			continue
		}
		if items, ok := all[name].([]any); ok {
			parts := make([]string, len(items))
			for i, item := range items {
				parts[i] = fmt.Sprint(item)
			}
			give(name, strings.Join(parts, ","), path)
			continue
		}
		give(name, fmt.Sprint(all[name]), path)
	}
	if pairs != nil {
		give("weights", strings.Join(pairs, ","), path)
	}
	return nil
}

// fromEnv takes every variable with the prefix, but for the two that choose the CPU path.
func fromEnv(environ []string, give func(name, text, origin string), fault func(error)) {
	byEnv := map[string]string{}
	for _, k := range Keys {
		byEnv[EnvName(k.Name)] = k.Name
	}
	for _, e := range environ {
		variable, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(variable, EnvPrefix) || variable == cpufeat.EnvCPU || variable == cpufeat.EnvRequire {
			continue
		}
		name, ok := byEnv[variable]
		if !ok {
			fault(fmt.Errorf("environment: unknown variable %s, want %s and a key in capitals, like %s", variable, EnvPrefix, EnvName("wal.dir")))
			continue
		}
		give(name, text, variable)
	}
}
