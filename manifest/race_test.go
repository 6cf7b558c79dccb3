//go:build race

package manifest_test

// slowdown is by how much the race detector makes loops slower, at most.
const slowdown = 10
