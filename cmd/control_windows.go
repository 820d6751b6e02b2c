package cmd

// ours does nothing: Windows has no such signals.
func ours() {}

// control does nothing: Windows has no such signals.
func control(_, _ func()) (stop func()) { return func() {} }
