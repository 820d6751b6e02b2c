package cmd

// descriptors returns how many files this process may have open: Windows sets no such limit.
func descriptors() int { return 1 << 20 }
