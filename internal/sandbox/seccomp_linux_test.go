package sandbox

import (
	"maps"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
)

// A name that no architecture knows would silently be left out of the filter.
func TestDeniedCallsExist(t *testing.T) {
	for _, name := range slices.Concat(denied, slices.Collect(maps.Keys(others)),
		[]string{"clone3", "clone", "socket", "socketpair"}) {
		known := false
		for _, a := range []*arch.Info{arch.X86_64, arch.AARCH64, arch.I386} {
			_, ok := a.SyscallNames[name]
			known = known || ok
		}
		if !known {
			t.Errorf("no architecture has the call %s", name)
		}
	}
}

func TestFilterFitsTheKernel(t *testing.T) {
	for _, network := range []bool{true, false} {
		program, err := seccompSetup{Network: network}.program()
		if err != nil || len(program) > 4096 {
			t.Errorf("%d instructions, error %v", len(program), err)
		}
	}
}
