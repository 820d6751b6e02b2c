package lockfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DefaultDir returns the directory of the state files of keys: $THROTTLE_STATE_DIR, else throttle in $XDG_STATE_HOME, else
// in ~/.local/state. Getenv is os.Getenv.
func DefaultDir(getenv func(string) string) (string, error) {
	if dir := getenv("THROTTLE_STATE_DIR"); dir != "" {
		return dir, nil
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) { // one that is not is to be ignored, the specification says
		return filepath.Join(dir, "throttle"), nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("no directory for state files: $HOME is not set; set $THROTTLE_STATE_DIR")
	}
	return filepath.Join(home, ".local", "state", "throttle"), nil
}

const stateSuffix = ".state"

// PathOf returns the path of the state file of a key in a directory. The name says nothing of the key, which may be a
// secret: it is a hash.
func PathOf(dir, key string) string {
	sum := sha256.Sum256([]byte("throttle key\x00" + key))
	return filepath.Join(dir, hex.EncodeToString(sum[:16])+stateSuffix)
}

// List returns the paths of the state files in a directory, sorted. A directory that does not exist has none.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), stateSuffix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// Prune removes the state files in a directory that nobody needs: nobody waits, the bucket is full, and nothing was
// granted or changed in the time given. What dead processes have left beside them goes, too. It returns the keys that
// were removed; files that it can't read it leaves alone, and names in the error.
func Prune(dir string, unused time.Duration) (keys []string, err error) {
	paths, err := List(dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, path := range paths {
		key, ok, err := prune(path, unused)
		if ok {
			keys = append(keys, key)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return keys, errors.Join(append(errs, pruneRest(dir, unused))...)
}

// prune removes a state file that nobody needs. Those who have it open, or have just opened it, see in it that it is gone.
func prune(path string, unused time.Duration) (key string, ok bool, err error) {
	f, err := Open(path, "", Options{MustExist: true})
	if err != nil {
		return "", false, err
	}
	defer f.Close() //nolint:errcheck // nothing waits
	s, err := f.Status()
	if err != nil || s.Damage != "" || !s.idle || time.Since(s.Updated) < unused {
		return "", false, err
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	err = f.update(ctx, func(t *tx) error {
		if !t.idle(t.now) || len(t.notes) > 0 {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		t.retired, t.write, ok = true, true, true
		return nil
	})
	return s.Key, ok && err == nil, err
}

// pruneRest removes what those have left who died while they created a file, or had one to show that they live.
func pruneRest(dir string, unused time.Duration) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		temp := strings.Contains(e.Name(), stateSuffix+".") && strings.HasSuffix(e.Name(), tempSuffix)
		owner := strings.Contains(e.Name(), stateSuffix+".") && strings.HasSuffix(e.Name(), ownerSuffix)
		info, infoErr := e.Info()
		if !temp && !owner || infoErr != nil || time.Since(info.ModTime()) < max(unused, time.Minute) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if owner && !dead(path) {
			continue
		}
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// dead reports whether nobody holds the lock of a file.
func dead(path string) bool {
	h, err := openFile(path, false)
	if err != nil {
		return false
	}
	defer h.close() //nolint:errcheck // nothing was written
	free, err := h.tryRLock()
	return free && err == nil
}
