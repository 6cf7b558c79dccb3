package evidence

import "time"

// Apart is the runner that ran the steps. The executor vouches for what was sent to it, when it was sent, and which
// bytes came back. What the steps did there is the runner's word.
type Apart struct {
	Kind  string    `json:"kind"` // function
	ID    string    `json:"id"`
	Label string    `json:"label"`
	Job   string    `json:"job"`   // id of what was sent
	Asked time.Time `json:"asked"` // when it was sent
	// Begun is when the runner began, by the runner's clock; absent if that was not read.
	Begun *time.Time `json:"begun,omitempty"`
	// Ended is when the executor took the outcome; absent if none was taken.
	Ended *time.Time `json:"ended,omitempty"`
	// Level and Gaps of the sandbox, Version and Image are what the runner says of itself.
	Level   string   `json:"level,omitempty"`
	Gaps    []string `json:"gaps,omitempty"`
	Version string   `json:"version,omitempty"`
	Image   string   `json:"image,omitempty"`
	// Word lists the parts of the result for which there is the runner's word alone. It is always ApartWord.
	Word string `json:"word"`
}

// ApartWord names the parts of a result for which there is the runner's word alone.
const ApartWord = "steps, exit codes, times, logs, outputs, artifacts"
