package redact

// automaton finds many texts in one pass (Aho and Corasick, 1975). Its state is the longest
// end of what was read that may be the beginning of a text.
type automaton struct {
	nodes []node
	first [256]int32 // the states after one byte
}

// node is a state. Its children are a list, through child and next: there may be a million nodes,
// and most have one.
type node struct {
	child int32 // the first one; 0 for none
	next  int32 // of the same parent; 0 for none
	fail  int32 // the state of the longest proper end of this one
	depth int32 // length of what it stands for
	match int32 // length of the longest text that ends here; 0 for none
	b     byte  // that leads here
}

func newAutomaton(texts []string) *automaton {
	size := 1
	for _, text := range texts {
		size += len(text)
	}
	a := &automaton{nodes: make([]node, 1, size)}
	for _, text := range texts {
		a.add(text)
	}
	for at := a.nodes[0].child; at != 0; at = a.nodes[at].next {
		a.first[a.nodes[at].b] = at
	}
	a.link()
	return a
}

func (a *automaton) add(text string) {
	at := int32(0)
	for i := range len(text) {
		to := a.child(at, text[i])
		if to == 0 {
			to = int32(len(a.nodes)) // #nosec G115 -- texts are bounded
			a.nodes = append(a.nodes, node{b: text[i], depth: a.nodes[at].depth + 1, next: a.nodes[at].child})
			a.nodes[at].child = to
		}
		at = to
	}
	a.nodes[at].match = a.nodes[at].depth
}

// link finds where each state goes on when nothing fits, breadth first: that of a shorter
// text is known when it is needed.
func (a *automaton) link() {
	queue := []int32{0}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for to := a.nodes[from].child; to != 0; to = a.nodes[to].next {
			queue = append(queue, to)
			if from == 0 {
				continue
			}
			fail := a.after(a.nodes[from].fail, a.nodes[to].b)
			a.nodes[to].fail = fail
			a.nodes[to].match = max(a.nodes[to].match, a.nodes[fail].match)
		}
	}
}

// child is the state that one more byte leads to; 0 for none.
func (a *automaton) child(at int32, b byte) int32 {
	for at = a.nodes[at].child; at != 0 && a.nodes[at].b != b; at = a.nodes[at].next {
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
