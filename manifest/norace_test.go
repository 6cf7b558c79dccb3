//go:build !race

package manifest_test

const slowdown = 1
