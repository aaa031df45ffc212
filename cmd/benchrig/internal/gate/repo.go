package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// command runs a program in dir and returns its standard output; the error carries what it said on standard error.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		said := strings.TrimSpace(errs.String() + "\n" + out.String())
		if len(said) > 2000 {
			said = said[:2000] + " …"
		}
		return out.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said)
	}
	return out.String(), nil
}

// FindRepo returns the top of the git repository that dir is in.
func FindRepo(ctx context.Context, dir string) (string, error) {
	out, err := command(ctx, dir, nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", fmt.Errorf("%w: the gate compares commits and must run in a git repository: %w", ErrUsage, err)
	}
	return strings.TrimSpace(out), nil
}

// head names the working tree: its commit, "-dirty" appended where files differ from it.
func head(ctx context.Context, repo string) (string, error) {
	out, err := command(ctx, repo, nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return "", fmt.Errorf("%w: no commit yet: %w", ErrUsage, err)
	}
	commit := strings.TrimSpace(out)
	status, err := command(ctx, repo, nil, "git", "status", "--porcelain")
	if err == nil && status != "" {
		commit += "-dirty"
	}
	return commit, err
}

// resolve returns the commit of ref.
func resolve(ctx context.Context, repo, ref string) (string, error) {
	if strings.HasPrefix(ref, "-") {
		return "", fmt.Errorf("%w: %q is not a commit, branch or tag", ErrRef, ref)
	}
	out, err := command(ctx, repo, nil, "git", "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("%w: %q is not a commit, branch or tag of this repository; in a shallow clone fetch more history first (git fetch --deepen 50)", ErrRef, ref)
	}
	return strings.TrimSpace(out), nil
}

// worktree checks commit out below dir; remove takes it out of the repository's list again.
func worktree(ctx context.Context, repo, commit, dir string) (path string, remove func() error, err error) {
	path = filepath.Join(dir, "base")
	if _, err := command(ctx, repo, nil, "git", "worktree", "add", "--detach", "--force", path, commit); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrRef, err)
	}
	return path, func() error {
		_, err := command(context.WithoutCancel(ctx), repo, nil, "git", "worktree", "remove", "--force", path)
		return err
	}, nil
}

// side is one of the two trees, built.
type side struct {
	rig string // its benchrig
	env []string
}

// build builds the tree's benchrig as out.
func build(ctx context.Context, tree, out string) (*side, error) {
	if files, _ := filepath.Glob(filepath.Join(tree, "cmd", "benchrig", "*.go")); len(files) == 0 {
		return nil, errors.New("it has no cmd/benchrig")
	}
	_, err := command(ctx, tree, nil, "go", "build", "-buildvcs=false", "-o", out, "./cmd/benchrig")
	return &side{rig: out}, err
}
