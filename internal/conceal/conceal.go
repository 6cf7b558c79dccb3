// Package conceal hides the memory of other processes of the same user from what this program runs.
//
// A script has the user of the program that runs it. Where another process of that user outlives the script, as a
// container's init does, and its memory can be written, the script can live on in it, and meet the next one. So each
// of them is made what this program is itself, not dumpable: the kernel then lets nobody of the user open its memory,
// trace it, or read its environment. Only the process itself can do that. It is stopped for a moment (PTRACE_SEIZE),
// makes the system call with an instruction that is in its code, gets its registers and signal mask back, and goes on
// with what it was doing; nothing is written to its memory. One that is stopped already, that does not stop in time,
// or that has a filter of system calls of its own, is left alone.
package conceal
