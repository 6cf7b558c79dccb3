package redact

import (
	"cmp"
	"slices"
)

// automaton finds many texts in one pass (Aho and Corasick, 1975). Its state is the longest suffix of what was read
// that is a prefix of a text.
type automaton struct {
	nodes []node
	first [256]int32 // the states after one byte; 0 for none
}

// node is a state: one byte of a text. It takes 16 bytes. Its first child is the node after it.
type node struct {
	fail  int32  // the state of the longest proper suffix of this one
	next  int32  // the next child of the same parent; 0 for none
	depth uint16 // how many bytes the state stands for
	match uint16 // length of the longest text that ends here; 0 for none
	b     byte   // the byte that leads here
	traits
}

// traits are properties of a node, and of the longest text that ends there.
type traits uint8

const (
	parent traits = 1 << iota // it has a child
	leads                     // the secret begins with quotes or backslashes, which the text does not have
	trails                    // the secret ends with such
)

// text is one text to look for, of at most maxText bytes.
type text struct {
	form string
	traits
}

// newAutomaton builds the automaton of the texts, which it sorts.
func newAutomaton(texts []text) *automaton {
	// Sorting puts a text after its prefixes, so that a node that gets another child later already has one.
	slices.SortFunc(texts, func(a, b text) int { return cmp.Compare(b.form, a.form) })
	size := 1
	for _, t := range texts {
		size += len(t.form)
	}
	a := &automaton{nodes: make([]node, 1, size)}
	for _, t := range texts {
		a.add(t)
	}
	a.link(slices.Clone(texts))
	return a
}

func (a *automaton) add(t text) {
	at := int32(0)
	for i := range len(t.form) {
		to := a.child(at, t.form[i])
		if to == 0 {
			to = a.grow(at, t.form[i])
		}
		at = to
	}
	a.nodes[at].match = a.nodes[at].depth
	a.nodes[at].traits |= t.traits
}

// grow adds a child to a state.
func (a *automaton) grow(at int32, b byte) int32 {
	to := int32(len(a.nodes)) // #nosec G115 -- texts are bounded
	child := node{b: b, depth: a.nodes[at].depth + 1}
	switch from := &a.nodes[at]; {
	case at == 0:
		a.first[b] = to
	case from.traits&parent == 0:
		from.traits |= parent
	default:
		child.next, a.nodes[at+1].next = a.nodes[at+1].next, to
	}
	a.nodes = append(a.nodes, child)
	return to
}

// link finds the state to fall back to from each state, in order of depth, because that of a shorter state must be
// known first. It walks along all texts at once, and consumes the list.
func (a *automaton) link(texts []text) {
	at := make([]int32, len(texts))
	for depth := 0; len(texts) > 0; depth++ {
		longer := 0
		for i, t := range texts {
			if depth == len(t.form) {
				continue
			}
			to := a.child(at[i], t.form[depth])
			if at[i] != 0 {
				a.inherit(to, a.after(a.nodes[at[i]].fail, t.form[depth]))
			}
			texts[longer], at[longer] = t, to
			longer++
		}
		texts = texts[:longer]
	}
}

func (a *automaton) inherit(at, fail int32) {
	n := &a.nodes[at]
	if n.fail = fail; n.match == 0 {
		n.match = a.nodes[fail].match
		n.traits |= a.nodes[fail].traits &^ parent
	}
}

// child is the state that one more byte leads to; 0 for none.
func (a *automaton) child(at int32, b byte) int32 {
	if at == 0 {
		return a.first[b]
	}
	if a.nodes[at].traits&parent == 0 {
		return 0
	}
	for at++; at != 0 && a.nodes[at].b != b; at = a.nodes[at].next {
	}
	return at
}

// after is the state after one more byte.
func (a *automaton) after(at int32, b byte) int32 {
	for at != 0 {
		if to := a.child(at, b); to != 0 {
			return to
		}
		at = a.nodes[at].fail
	}
	return a.first[b]
}
