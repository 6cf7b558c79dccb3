package evidence

import "time"

// Apart is the runner that ran the steps. The executor vouches for what was sent to it, when, and for what came back;
// the rest is the runner's word.
type Apart struct {
	Kind  string    `json:"kind"` // function
	ID    string    `json:"id"`
	Label string    `json:"label"`
	Job   string    `json:"job"` // id of what was sent
	Asked time.Time `json:"asked"`
	// Begun is when the runner began, by its clock, and Ended when its outcome was taken; absent if it did not begin,
	// or gave none.
	Begun *time.Time `json:"begun,omitempty"`
	Ended *time.Time `json:"ended,omitempty"`
	// Level and Gaps of the sandbox, Version and Image are what the runner says of itself.
	Level   string   `json:"level,omitempty"`
	Gaps    []string `json:"gaps,omitempty"`
	Version string   `json:"version,omitempty"`
	Image   string   `json:"image,omitempty"`
	// Word lists what is the runner's word alone.
	Word string `json:"word"`
}

// ApartWord is what is the runner's word in a result.
const ApartWord = "steps, exit codes, times, logs, outputs, artifacts"

// NameStored has the records name the logs that are stored where an earlier invocation of the run had less of them.
func (r *Result) NameStored(all []Object) {
	stored := map[string]string{}
	for _, o := range all {
		stored[o.Object] = o.SHA256
	}
	name := func(list []Step) {
		for i := range list {
			s := &list[i]
			if digest := stored[Dir(r.RunID)+s.Log]; digest != "" && s.LogSHA256 != digest {
				s.LogSHA256, s.Truncated = digest, true
			}
		}
	}
	name(r.Steps)
	if r.Rollback != nil {
		name(r.Rollback.Steps)
	}
}
