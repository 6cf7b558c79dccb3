package jobs

import (
	"bytes"
	"encoding/json"
)

// IsJob reports whether a call was meant as a job, of whatever version: its first line is an object with the keys that
// no event and no request has.
func IsJob(call []byte) bool {
	var keys struct {
		Job     json.RawMessage `json:"job"`
		Mailbox json.RawMessage `json:"mailbox"`
	}
	line, _, _ := bytes.Cut(call, []byte("\n"))
	return json.Unmarshal(line, &keys) == nil && keys.Job != nil && keys.Mailbox != nil
}
