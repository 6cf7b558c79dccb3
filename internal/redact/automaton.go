package redact

import (
	"cmp"
	"slices"
)

// automaton finds many texts in one pass (Aho and Corasick, 1975). Its state is the longest
// end of what was read that may be the beginning of a text.
type automaton struct {
	nodes []node
	first [256]int32 // the states after one byte; 0 for none
}

// node is a state, and takes 16 bytes: there is one for each byte of a text. Its first child is the
// node after it.
type node struct {
	fail  int32  // the state of the longest proper end of this one
	next  int32  // the next child of the same parent; 0 for none
	depth uint16 // length of what it stands for
	match uint16 // length of the longest text that ends here; 0 for none
	b     byte   // that leads here
	traits
}

// traits are facts about a node, and about the longest text that ends there.
type traits uint8

const (
	parent traits = 1 << iota // it has a child
	leads                     // the secret begins with quotes or backslashes, which are not in the text
	trails                    // it ends with such
)

// text is what is looked for, of at most maxText bytes.
type text struct {
	form string
	traits
}

// newAutomaton sorts the texts.
func newAutomaton(texts []text) *automaton {
	// A text comes after those that it is the beginning of: so whatever gets a child later has one.
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

// grow gives a state a child.
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

// link finds where each state goes on when nothing fits, by depth: that of a shorter one is known
// when it is needed. It goes along all texts at once, and takes the list for that.
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
