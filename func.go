// Command cemli-executor is the function: it takes an event or a request, runs the
// package it names once, and leaves evidence of it in the results bucket.
package main

import (
	"log/slog"
	"os"
	"runtime/debug"

	fdk "github.com/fnproject/fdk-go"

	"cemli-executor/internal/buildinfo"
	"cemli-executor/internal/container"
	"cemli-executor/internal/logwriter"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/sandbox"
)

func main() {
	sandbox.Dispatch()
	config, problems := ParseConfig(os.Environ())
	config.Identity.ExecutorVersion, config.Identity.Image = buildinfo.String(), buildinfo.Image
	if config.MemoryMB > 0 {
		// Half of the memory is for /tmp and the scripts, which are not Go's to collect.
		debug.SetMemoryLimit(config.MemoryMB << 20 / 2)
	}
	logWriter := logwriter.New(os.Stderr)
	log := slog.New(slog.NewJSONHandler(logWriter, &slog.HandlerOptions{Level: config.LogLevel}))
	for _, p := range problems {
		log.Error("configuration", "code", p.Code, "where", p.Where, "error", p.Message, "hint", p.Hint)
	}
	// A bad configuration is answered, call by call: ending here would make the
	// platform start the container over and over and tell nobody why.
	h := &handler{
		config: config, problems: problems, log: log, logWriter: logWriter,
		listener: newListener(os.Getenv, config.WorkDir, log),
		client:   oci.ResourcePrincipal(oci.Options{Endpoint: config.Endpoint}),
	}
	h.container = container.Find(os.Getenv, config.WorkDir, h.listener.dir)
	h.runner = runnerRole{h}.newRunner()
	fdk.Handle(h)
	h.leaving.wait()
}
