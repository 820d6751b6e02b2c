package lockfile

import (
	"path/filepath"
	"strconv"
)

// openState opens a state file, and sees to it that it is safe to use.
func openState(path string, write, shared bool) (handle, fileInfo, error) {
	h, err := openFile(path, write)
	if err != nil {
		return noHandle, fileInfo{}, err
	}
	info, err := h.stat()
	if err == nil {
		err = safe(info, path, shared)
	}
	if err != nil {
		_ = h.close()
		return noHandle, fileInfo{}, err
	}
	return h, info, nil
}

// An unsafeError is an ErrUnsafe with the reason.
type unsafeError string

func (e unsafeError) Error() string { return ErrUnsafe.Error() + ": " + string(e) }

func (unsafeError) Is(target error) bool { return target == ErrUnsafe }

// safe says whether a file is one that nobody else can write to, or put in the place of ours.
func safe(info fileInfo, path string, shared bool) error {
	const group, others = 0o020, 0o002
	switch {
	case !info.regular:
		return unsafeError("it is not a regular file")
	case shared && info.perm&others != 0:
		return unsafeError("everybody may write to it")
	case shared:
		return nil
	case info.owner != me():
		return unsafeError("it belongs to user " + strconv.Itoa(int(info.owner)))
	case info.perm&(group|others) != 0:
		return unsafeError("others may write to it")
	}
	return safeDir(path)
}

// safeDir says whether the directory of a file is one in which nobody else can put another one in its place.
func safeDir(path string) error {
	const others, sticky = 0o002, 0o1000
	dir, err := statPath(filepath.Dir(path) + "/.")
	switch {
	case err != nil:
		return err
	case dir.perm&others != 0 && dir.perm&sticky == 0:
		return unsafeError("everybody may write to its directory")
	case dir.owner != me() && dir.owner != 0:
		return unsafeError("its directory belongs to user " + strconv.Itoa(int(dir.owner)))
	}
	return nil
}
