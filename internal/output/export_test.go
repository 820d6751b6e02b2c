package output

// InMemory returns how many bytes of ended jobs, which wait for their turn, are in memory.
func (s *Sink) InMemory() int64 { return s.disk.held.Load() }
