//go:build !race

package scripts_test

const fewer = false
