//go:build linux

// Command kernel runs another one as on a kernel with another Landlock, so that tests can be made of what
// a machine is without it: kernel ENOSYS go test ./…
package main

import "cemli-executor/internal/testkit"

func main() {
	testkit.PretendKernel()
	testkit.Main()
}
