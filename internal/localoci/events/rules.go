package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Rules are the conditions under which events are delivered to the function.
type Rules []map[string]any

// ParseRules reads conditions in OCI's language.
func ParseRules(conditions ...string) (Rules, error) {
	rules := make(Rules, len(conditions))
	for i, text := range conditions {
		if err := json.Unmarshal([]byte(text), &rules[i]); err != nil {
			return nil, fmt.Errorf("read the condition of an events rule: %w", err)
		}
	}
	return rules, nil
}

// Match reports whether a rule matches an event.
func (rules Rules) Match(event []byte) bool {
	var e map[string]any
	return json.Unmarshal(event, &e) == nil &&
		slices.ContainsFunc(rules, func(rule map[string]any) bool { return matches(rule, e) })
}

// matches reports whether an event has everything that a condition names: each member of an object, and any element
// of a list. Text may begin or end with *, for anything.
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
