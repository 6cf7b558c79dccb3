package conceal

import "golang.org/x/sys/unix"

// callCode is the instruction that makes a system call, svc #0.
var callCode = []byte{0x01, 0x00, 0x00, 0xd4}

const callAlign = 4

func registers(pid int) (regs unix.PtraceRegs, err error) {
	var all unix.PtraceRegsArm64
	err = unix.PtraceGetRegSetArm64(pid, unix.NT_PRSTATUS, &all)
	return unix.PtraceRegs(all), err
}

func setRegisters(pid int, regs unix.PtraceRegs) error {
	all := unix.PtraceRegsArm64(regs)
	return unix.PtraceSetRegSetArm64(pid, unix.NT_PRSTATUS, &all)
}

// narrow is the bit of the processor's state that says that a process has 32 bits.
const narrow = 1 << 4

// understood refuses a process whose calls are others than this program's.
func understood(regs unix.PtraceRegs) error {
	if regs.Pstate&narrow != 0 {
		return unix.ENOTSUP
	}
	return nil
}

func programCounter(regs unix.PtraceRegs) uint64 { return regs.Pc }

// calling are the registers of a process that is about to make a system call. One that was interrupted has been
// prepared by the kernel to begin it again, in the registers that are put back.
func calling(regs unix.PtraceRegs, at, number, first, second uint64) unix.PtraceRegs {
	regs.Pc, regs.Regs[8] = at, number
	regs.Regs[0], regs.Regs[1], regs.Regs[2], regs.Regs[3], regs.Regs[4] = first, second, 0, 0, 0
	return regs
}

// answered is what the call at an address has returned, if it was made.
func answered(regs unix.PtraceRegs, at uint64) (result int64, made bool) {
	return int64(regs.Regs[0]), regs.Pc == at+uint64(len(callCode)) // #nosec G115 -- a register's bits
}
