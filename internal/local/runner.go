package local

import (
	"cmp"
	"io"
	"maps"

	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/localoci"
)

// Runner says how the second function is run: as many instances as there are of the first, with the same memory and
// time, below an init of their user. Its principal may do nothing. All fields are optional.
type Runner struct {
	Binary   string                            // empty: the first function's
	Settings map[string]string                 // configuration, besides that of every runner
	Log      io.Writer                         // receives what it writes; nil: what the first function's log does
	Answered func(fnhost.Answer, error)        // the end of every invocation
	Under    []string                          // see fnhost.Config
	Wrap     func(dir, binary string) []string // see fnhost.Config
}

// runnerUsers is how many users after the first function's the runner's begin, where each instance has one, or each
// function.
const runnerUsers = 100

// Dispatch is this program's way if it was started as the init of a function. It must be the first in the main function
// of a program that starts a Stack with a Runner.
func Dispatch() { fnhost.Dispatch() }

// runnerConfig says how the runner is run. It has nothing of the executor's configuration.
func (s *Stack) runnerConfig(o Options) fnhost.Config {
	settings := map[string]string{"CEMLI_ROLE": "runner", "CEMLI_SANDBOX": "basic"}
	maps.Copy(settings, o.Runner.Settings)
	config := s.functionConfig(o)
	config.Binary, config.Settings = cmp.Or(o.Runner.Binary, o.Binary), settings
	config.FunctionID, config.FunctionName = localoci.RunnerID, "cemli-runner"
	config.AppID, config.AppName = localoci.RunnerAppID, "cemli-runner"
	config.Credentials = credentials(s.server.Authority().NewRunner)
	config.FirstUser = fnhost.FirstUser + runnerUsers
	config.Init, config.Under, config.Wrap = true, o.Runner.Under, o.Runner.Wrap
	if o.Runner.Log != nil {
		config.Log = o.Runner.Log
	}
	return config
}

// RunnerID is the OCID of the function that runs the steps; empty: the first one does.
func (s *Stack) RunnerID() string {
	if s.runner == nil {
		return ""
	}
	return localoci.RunnerID
}
