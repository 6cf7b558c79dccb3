package trigger

import (
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/strictjson"
)

// messageKeys are the keys of a message of the Streaming service, in the form in which Connector Hub delivers it.
var messageKeys = []string{"stream", "partition", "key", "value", "offset", "timestamp"}

// isMessage recognises a message of a stream: it has a value, a partition and an offset, and no keys that messages do
// not have.
func isMessage(members map[string]jsontext.Value) bool {
	known := 0
	for _, key := range messageKeys {
		if members[key] != nil {
			known++
		}
	}
	return known == len(members) && members["value"] != nil && members["partition"] != nil && members["offset"] != nil
}

// fromStream decodes a message's value from base64 and reads it: an event or a request by hand. The evidence quotes
// the value instead of the message.
func (d decoder) fromStream(members map[string]jsontext.Value) Item {
	text, ok := strictjson.Text(members["value"])
	if !ok {
		return Item{Err: refuse("trigger.value", "/value", "the value of a stream's message must be text in base64")}
	}
	doc, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Item{Err: refuseFor(err, "trigger.value", "/value", "the value of a stream's message is not in base64")}
	}
	if err := check(doc); err != nil {
		return Item{Err: err}
	}
	inner, _ := strictjson.Members(doc)
	if isMessage(inner) || inner[continueKey] != nil {
		return Item{Err: refuse("trigger.unknown_form", "/value",
			"the value of a stream's message is neither an event nor a request by hand")}
	}
	return decoder{buckets: d.buckets}.item(doc)
}
