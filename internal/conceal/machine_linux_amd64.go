package conceal

import (
	"errors"

	"golang.org/x/sys/unix"
)

// callCode is the instruction that makes a system call; it can be at any address.
var callCode = []byte{0x0f, 0x05}

const (
	callAlign = 1
	// wideCode is the code segment of a 64-bit process.
	wideCode = 0x33
)

func registers(pid int) (regs unix.PtraceRegs, err error) {
	return regs, unix.PtraceGetRegs(pid, &regs)
}

func setRegisters(pid int, regs unix.PtraceRegs) error { return unix.PtraceSetRegs(pid, &regs) }

// understood refuses a process whose calls are others than this program's.
func understood(regs unix.PtraceRegs) error {
	if regs.Cs != wideCode {
		return errors.New("it is not a 64-bit process")
	}
	return nil
}

func programCounter(regs unix.PtraceRegs) uint64 { return regs.Rip }

// calling are the registers of a process that is about to make a system call. It is in none: one that was interrupted
// is begun again only with its own registers.
func calling(regs unix.PtraceRegs, at, number, first, second uint64) unix.PtraceRegs {
	regs.Rip, regs.Rax, regs.Orig_rax = at, number, ^uint64(0)
	regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8 = first, second, 0, 0, 0
	return regs
}

// answered is what the call at an address has returned, if it was made.
func answered(regs unix.PtraceRegs, at uint64) (result int64, made bool) {
	return int64(regs.Rax), regs.Rip == at+uint64(len(callCode)) // #nosec G115 -- a register's bits
}
