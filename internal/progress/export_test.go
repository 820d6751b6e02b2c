package progress

// WritesTo is for tests.
var WritesTo = writesTo
