package cmd

import "os"

// hungUp reports whether nobody reads what is written to a pipe: Windows does not say.
func hungUp(*os.File) bool { return false }

// descriptors returns how many files this process may have open: Windows sets no such limit.
func descriptors() int { return 1 << 20 }
