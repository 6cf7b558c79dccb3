package steps

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"strings"
	"unicode/utf8"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// maxOutputFile bounds the file of one step's outputs.
const maxOutputFile = 256 << 10

var outputKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// takeOutputs reads the outputs that the step wrote.
func (r *run) takeOutputs(s script, file string, record *evidence.Step) error {
	text, err := r.readOutputs(file)
	var found map[string]string
	if err == nil {
		found, err = parseOutputs(text)
	}
	if err == nil {
		err = r.fitOutputs(found)
	}
	if err != nil {
		record.Status = evidence.StepFailed
		return problem.New(problem.Problem{
			Code: "step.output", Where: s.Run,
			Message: "what it wrote to CEMLI_OUTPUT cannot be used: " + r.here.Masker.String(err.Error()),
			Hint:    "write lines of the form KEY=value, or KEY<<END, lines, END",
		}, err)
	}
	maps.Copy(r.outcome.Outputs, found)
	if len(found) > 0 {
		record.Outputs = r.here.Masker.Values(found)
	}
	return nil
}

// fitOutputs refuses more outputs than the environments of later scripts, undo scripts included, can hold.
func (r *run) fitOutputs(found map[string]string) error {
	all := maps.Clone(r.outcome.Outputs)
	maps.Copy(all, found)
	size := 0
	for key, value := range all {
		size += len(key) + len(value)
	}
	switch {
	case len(all) > jobs.MaxOutputs:
		return fmt.Errorf("the steps of a run give at most %d outputs", jobs.MaxOutputs)
	case size > jobs.MaxOutputBytes:
		return fmt.Errorf("the outputs of a run have at most %d bytes together; use files in CEMLI_ARTIFACTS for more",
			jobs.MaxOutputBytes)
	}
	return nil
}

// readOutputs reads the file; a missing one counts as empty.
func (r *run) readOutputs(name string) (string, error) {
	f, info, err := workdir.OpenRegular(r.here.Dir.Root(), name)
	if err != nil {
		if _, err := r.here.Dir.Root().Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return "", err
	}
	defer f.Close()
	if info.Size() > maxOutputFile {
		return "", fmt.Errorf("the file has %d bytes; at most %d are read", info.Size(), maxOutputFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxOutputFile+1))
	switch {
	case err != nil:
		return "", errors.New("the file cannot be read")
	case len(text) > maxOutputFile:
		return "", errors.New("the file grows while it is read")
	case !utf8.Valid(text) || strings.ContainsRune(string(text), 0):
		return "", errors.New("the file is no text in UTF-8")
	}
	return string(text), nil
}

// parseOutputs reads lines of KEY=value, and of KEY<<END with the value in the lines up to END. If a key occurs
// twice, the later value counts.
func parseOutputs(text string) (map[string]string, error) {
	outputs := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSuffix(lines[i], "\r")
		if line == "" {
			continue
		}
		at := i + 1
		key, value, plain := strings.Cut(line, "=")
		if name, end, ok := strings.Cut(line, "<<"); ok && (!plain || len(name) < len(key)) {
			key = name
			var rest []string
			for i++; i < len(lines) && strings.TrimSuffix(lines[i], "\r") != end; i++ {
				rest = append(rest, lines[i])
			}
			if i == len(lines) || end == "" {
				return nil, fmt.Errorf("line %d: the lines of the value have no end", at)
			}
			value, plain = strings.Join(rest, "\n"), true
		}
		switch {
		case !plain:
			return nil, fmt.Errorf("line %d is neither KEY=value nor KEY<<END", at)
		case !outputKey.MatchString(key): // the key is not quoted: it may be a secret
			return nil, fmt.Errorf(
				"line %d has no key: a letter or underscore, then up to 63 letters, digits and underscores", at)
		case manifest.Reserved(key):
			return nil, fmt.Errorf("line %d: the name %s is reserved", at, key)
		case len(value) > jobs.MaxOutput:
			return nil, fmt.Errorf("line %d: the value of %s has %d bytes; at most %d are allowed",
				at, key, len(value), jobs.MaxOutput)
		}
		outputs[key] = value
	}
	if len(outputs) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	return outputs, nil
}
