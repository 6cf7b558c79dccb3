//go:build race

package scripts_test

// fewer: each process of the stand-in takes long to start with the race detector, and shares nothing with others.
const fewer = true
