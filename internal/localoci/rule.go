package localoci

import (
	"encoding/json"
	"fmt"
	"strings"

	"cemli-executor/terraform/modules/events"
)

// newRule reads the condition of the events rule.
func newRule(config Config) (map[string]any, error) {
	text := config.Rule
	if text == "" {
		text = events.Condition(config.Buckets.Packages)
	}
	var rule map[string]any
	if err := json.Unmarshal([]byte(text), &rule); err != nil {
		return nil, fmt.Errorf("read the condition of the events rule: %w", err)
	}
	return rule, nil
}

// ruled reports whether the rule is for an event.
func (s *Server) ruled(event []byte) bool {
	var e map[string]any
	return json.Unmarshal(event, &e) == nil && matches(s.rule, e)
}

// matches reports whether an event has everything that a condition names: of an object
// each member, of a list any element. Text may begin or end with *, for anything.
func matches(condition, event any) bool {
	switch c := condition.(type) {
	case map[string]any:
		e, ok := event.(map[string]any)
		for key, part := range c {
			if !ok || !matches(part, e[key]) {
				return false
			}
		}
		return ok
	case []any:
		for _, part := range c {
			if matches(part, event) {
				return true
			}
		}
		return false
	case string:
		text, ok := event.(string)
		return ok && like(c, text)
	}
	return condition == event
}

func like(pattern, text string) bool {
	rest, open := strings.CutPrefix(pattern, "*")
	rest, openEnd := strings.CutSuffix(rest, "*")
	switch {
	case open && openEnd:
		return strings.Contains(text, rest)
	case open:
		return strings.HasSuffix(text, rest)
	case openEnd:
		return strings.HasPrefix(text, rest)
	}
	return text == pattern
}
