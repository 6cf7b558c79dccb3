package document

import (
	"maps"
	"slices"
	"strings"
)

// Field is one key of a contract.
type Field struct {
	key      string
	required bool
	read     func(Node)
}

// Required makes a key that must be there.
func Required(key string, read func(Node)) Field { return Field{key, true, read} }

// Optional makes a key that may be left out.
func Optional(key string, read func(Node)) Field { return Field{key, false, read} }

// Later makes the keys of the contract whose features this version does not have. They are refused, as the author
// relies on them.
func Later(code string, keys ...string) []Field {
	var table []Field
	for _, key := range keys {
		table = append(table, Optional(key, func(n Node) {
			n.Bad(code, "this version does not support the key "+key, "remove it, or use an executor that supports it")
		}))
	}
	return table
}

// Fields reads an object whose keys the contract fixes, in their order.
func (n Node) Fields(table []Field) {
	members := n.Members()
	if members == nil {
		return
	}
	known := make([]string, len(table))
	for i, f := range table {
		known[i] = f.key
		if member, ok := members[f.key]; ok {
			f.read(member)
			delete(members, f.key)
		} else if f.required {
			n.Bad("manifest.required", "the key "+f.key+" is missing", "add "+f.key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if n.c.Open == nil || n.at != "" || !n.c.Open(key) {
			members[key].Unknown(key, known)
		}
	}
}

// Unknown notes that the contract does not have a key, and which keys it has.
func (n Node) Unknown(key string, known []string) {
	if n.c.full() {
		n.c.more++
		return
	}
	message, hint := "unknown key "+Printable(key), "the keys here are "+strings.Join(known, ", ")
	if near := n.c.nearest(key, known); near != "" {
		message += "; did you mean " + near + "?"
		hint = "rename it to " + near
	}
	n.Bad("manifest.unknown_key", message, hint)
}
