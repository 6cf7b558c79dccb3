//go:build !linux

package fnhost

import (
	"context"
	"errors"
	"runtime"
)

// New refuses: functions are run on Linux only.
func New(Config) (*Host, error) {
	return nil,
		errors.New("functions cannot be run on " + runtime.GOOS +
			"; use Linux, a Linux virtual machine or a Linux container")
}

// Close does nothing.
func (h *Host) Close() error { return nil }

// Dispatch does nothing.
func Dispatch() {}

type instance struct{}

func (*instance) call(context.Context, Call) (Answer, error) { return Answer{}, ErrStart }
func (*instance) kill()                                      {}
