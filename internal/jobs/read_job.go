package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"cemli-executor/internal/document"
)

// job is the kind of a Job.
var job = kind{
	code: "runner.job", name: "job", most: MaxCall,
	hint: "deploy executor and runner from one image; see who else may invoke the runner",
}

// Encode is what a runner is called with: the job in one line and, unless archive is nil, the package's bytes after it.
// It fails if that is more than MaxCall: then the package goes through the mailbox.
func (j Job) Encode(archive []byte) ([]byte, error) {
	j.Times.StopAt, j.Times.KillAt = j.Times.StopAt.UTC(), j.Times.KillAt.UTC()
	doc, err := encode(j.withoutNull(), decodeJob)
	switch size := len(doc) + 1 + len(archive); {
	case err != nil:
		return nil, err
	case archive == nil:
		return doc, nil
	case size > MaxCall:
		const form = "with the package it has %d bytes; at most %d can be sent"
		return nil, job.wrong("", fmt.Sprintf(form, size, MaxCall))
	}
	return append(append(doc, '\n'), archive...), nil
}

// withoutNull is the job with empty lists and objects where it has none.
func (j Job) withoutNull() Job {
	j.Plan = append([]Step{}, j.Plan...)
	j.Mask = append([]string{}, j.Mask...)
	j.Tools = append([]string{}, j.Tools...)
	j.Keep = append([]string{}, j.Keep...)
	j.Restore = append([]Restored{}, j.Restore...)
	for _, values := range []*map[string]string{&j.Arguments, &j.Outputs, &j.Secrets} {
		if *values == nil {
			*values = map[string]string{}
		}
	}
	return j
}

// DecodeJob reads what a runner is called with. The package's bytes are those that the job names; nil if they are not
// there, and have to be read from the mailbox.
func DecodeJob(call []byte) (Job, []byte, error) {
	if len(call) > MaxCall {
		return Job{}, nil, job.wrong("", fmt.Sprintf("it has %d bytes; at most %d are read", len(call), MaxCall))
	}
	doc, archive, attached := bytes.Cut(call, []byte("\n"))
	j, err := decodeJob(doc)
	switch {
	case err != nil:
		return Job{}, nil, err
	case !attached:
		return j, nil, nil
	case int64(len(archive)) != j.Package.Size || sum(archive) != j.Package.SHA256:
		return Job{}, nil, job.wrong("/package", "the bytes that follow are not the package's")
	}
	return j, archive, nil
}

// decodeJob reads the job itself.
func decodeJob(doc []byte) (Job, error) {
	j, err := readJob(doc)
	if err == nil {
		err = j.consistent()
	}
	return j, err
}

// sum is a SHA-256.
func sum(text []byte) string {
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// readJob reads what the schema describes.
func readJob(doc []byte) (j Job, err error) {
	err = job.read(doc, func(n document.Node) {
		n.Fields(append(append(j.about(), j.what()...), j.bounds()...))
	})
	return j, err
}

// about are the keys that say which run it is.
func (j *Job) about() []document.Field {
	return []document.Field{
		document.Required("v", func(n document.Node) { j.V = version(n) }),
		document.Required("job", func(n document.Node) { j.Job = id(n) }),
		document.Required("run_id", func(n document.Node) { j.RunID = n.Word("", runRule, "the id of a run") }),
		document.Required("attempt", func(n document.Node) { j.Attempt = int(n.Whole(1, maxAttempts)) }),
		document.Required("environment", func(n document.Node) {
			j.Environment = n.Word("", wordRule, "an environment")
		}),
		document.Required("action", func(n document.Node) {
			j.Action = n.Choice("", ActionApply, ActionDryRun, ActionRollback)
		}),
		document.Required("fence", func(n document.Node) { j.Fence = n.Word("", fenceRule, "a number in digits") }),
		document.Required("package", func(n document.Node) { j.Package = readPackage(n) }),
	}
}

// what are the keys that say what is done.
func (j *Job) what() []document.Field {
	restored := func(n document.Node) Restored { return readRestored(n) }
	return []document.Field{
		document.Required("plan", func(n document.Node) { j.Plan = list(n, maxSteps, readStep) }),
		document.Required("on_failure", func(n document.Node) {
			j.OnFailure = n.Choice("", OnFailureStop, OnFailureRollback)
		}),
		document.Required("arguments", func(n document.Node) {
			j.Arguments = texts(n, argumentRule, maxMembers, maxValue)
		}),
		document.Required("outputs", func(n document.Node) { j.Outputs = outputs(n) }),
		document.Required("secrets", func(n document.Node) {
			j.Secrets = texts(n, variableRule, maxMembers, maxSecret)
		}),
		document.Required("mask", func(n document.Node) {
			j.Mask = list(n, maxMask, func(e document.Node) string { return e.Text(MaxMasked) })
		}),
		document.Required("tools", func(n document.Node) { j.Tools = list(n, maxMembers, name) }),
		document.Required("network", func(n document.Node) { j.Network = n.Boolean() }),
		document.Required("keep", func(n document.Node) { j.Keep = list(n, maxMembers, name) }),
		document.Required("restore", func(n document.Node) { j.Restore = list(n, maxArtifacts, restored) }),
	}
}

// bounds are the keys that say within which bounds.
func (j *Job) bounds() []document.Field {
	return []document.Field{
		document.Required("limits", func(n document.Node) { j.Limits = readLimits(n) }),
		document.Required("level", func(n document.Node) { j.Level = n.Choice("", Levels...) }),
		document.Required("accept_init", func(n document.Node) { j.AcceptInit = n.Boolean() }),
		document.Required("times", func(n document.Node) { j.Times = readTimes(n) }),
		document.Required("mailbox", func(n document.Node) {
			// It is not quoted: it is a secret.
			if j.Mailbox = n.Text(maxAddress); !addressRule.MatchString(j.Mailbox) {
				n.Bad("", "it is not the address of a mailbox", "")
			}
		}),
	}
}

// name reads a name of one line.
func name(n document.Node) string { return n.Line(maxName) }

// outputs reads outputs of steps.
func outputs(n document.Node) map[string]string { return texts(n, outputRule, MaxOutputs, MaxOutput) }

func readPackage(n document.Node) (p Package) {
	n.Fields([]document.Field{
		document.Required("name", func(v document.Node) { p.Name = v.Word("", nameRule, "a package's name") }),
		document.Required("version", func(v document.Node) { p.Version = v.Line(maxName) }),
		document.Required("type", func(v document.Node) { p.Type = v.Word("", nameRule, "a type of package") }),
		document.Required("sha256", func(v document.Node) { p.SHA256 = digest(v) }),
		document.Required("size", func(v document.Node) { p.Size = v.Whole(1, maxSize) }),
		document.Required("dirhash", func(v document.Node) { p.DirHash = v.Word("", dirHashRule, "an h1: hash") }),
	})
	return p
}

func readStep(n document.Node) (s Step) {
	script := func(v document.Node) string { return v.Line(maxPath) }
	n.Fields([]document.Field{
		document.Required("n", func(v document.Node) { s.N = int(v.Whole(1, maxSteps)) }),
		document.Required("name", func(v document.Node) { s.Name = name(v) }),
		document.Required("phase", func(v document.Node) { s.Phase = v.Choice("", "pre_check", "run", "post_check") }),
		document.Required("run", func(v document.Node) { s.Run = script(v) }),
		document.Required("sha256", func(v document.Node) { s.SHA256 = digest(v) }),
		document.Optional("args", func(v document.Node) {
			s.Args = list(v, maxMembers, func(e document.Node) string { return e.Text(maxValue) })
		}),
		document.Optional("env", func(v document.Node) { s.Env = texts(v, variableRule, maxMembers, maxValue) }),
		document.Optional("secrets", func(v document.Node) {
			s.Secrets = append([]string{}, list(v, maxMembers, name)...) // none is not the same as no list
		}),
		document.Optional("timeout_ms", func(v document.Node) { s.TimeoutMS = v.Count(maxMS) }),
		document.Optional("retries", func(v document.Node) { s.Retries = int(v.Count(maxRetries)) }),
		document.Optional("delay_ms", func(v document.Node) { s.DelayMS = v.Count(maxMS) }),
		document.Optional("continue_on_error", func(v document.Node) { s.ContinueOnError = v.Boolean() }),
		document.Optional("rollback", func(v document.Node) { s.Rollback = script(v) }),
		document.Optional("rollback_sha256", func(v document.Node) { s.RollbackSHA256 = digest(v) }),
		document.Optional("do", func(v document.Node) { s.Do = v.Choice("", DoRun, DoSkip, DoRevert, DoUndone) }),
		document.Optional("outputs", func(v document.Node) { s.Outputs = outputs(v) }),
	})
	return s
}

func readRestored(n document.Node) (r Restored) {
	n.Fields([]document.Field{
		document.Required("n", func(v document.Node) { r.N = int(v.Whole(1, maxArtifacts)) }),
		document.Required("name", func(v document.Node) { r.Name = v.Line(maxPath) }),
		document.Required("size", func(v document.Node) { r.Size = v.Count(maxArtifact) }),
		document.Required("sha256", func(v document.Node) { r.SHA256 = digest(v) }),
	})
	return r
}

func readLimits(n document.Node) (l Limits) {
	n.Fields([]document.Field{
		document.Required("log_bytes", func(v document.Node) { l.LogBytes = v.Count(maxLog) }),
		document.Required("artifacts", func(v document.Node) { l.Artifacts = int(v.Count(maxArtifacts)) }),
		document.Required("artifact_bytes", func(v document.Node) { l.ArtifactBytes = v.Count(maxArtifact) }),
	})
	return l
}

func readTimes(n document.Node) (t Times) {
	ms := func(into *int64) func(document.Node) {
		return func(v document.Node) { *into = v.Count(maxMS) }
	}
	n.Fields([]document.Field{
		document.Required("steps_ms", ms(&t.StepsMS)),
		document.Required("kept_ms", ms(&t.KeptMS)),
		document.Required("undo_ms", ms(&t.UndoMS)),
		document.Required("store_ms", ms(&t.StoreMS)),
		document.Required("stop_at", func(v document.Node) { t.StopAt = instant(v) }),
		document.Required("kill_at", func(v document.Node) { t.KillAt = instant(v) }),
	})
	return t
}
