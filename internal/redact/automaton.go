package redact

// automaton finds many texts in one pass (Aho and Corasick, 1975). Its state is the longest
// end of what was read that may be the beginning of a text.
type automaton struct {
	nodes []node
	first [256]int32 // the states after one byte
}

// node is a state.
type node struct {
	edges []edge // by what was added first
	fail  int32  // the state of the longest proper end of this one
	depth int32  // length of what it stands for
	match int32  // length of the longest text that ends here; 0 for none
}

type edge struct {
	b  byte
	to int32
}

func newAutomaton(texts []string) *automaton {
	a := &automaton{nodes: make([]node, 1)}
	for _, text := range texts {
		a.add(text)
	}
	for _, e := range a.nodes[0].edges {
		a.first[e.b] = e.to
	}
	a.link()
	return a
}

func (a *automaton) add(text string) {
	at := int32(0)
	for i := range len(text) {
		to, ok := a.child(at, text[i])
		if !ok {
			to = int32(len(a.nodes)) //nolint:gosec // texts are bounded
			a.nodes = append(a.nodes, node{depth: a.nodes[at].depth + 1})
			a.nodes[at].edges = append(a.nodes[at].edges, edge{text[i], to})
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
		for _, e := range a.nodes[from].edges {
			queue = append(queue, e.to)
			if from == 0 {
				continue
			}
			fail := a.next(a.nodes[from].fail, e.b)
			a.nodes[e.to].fail = fail
			a.nodes[e.to].match = max(a.nodes[e.to].match, a.nodes[fail].match)
		}
	}
}

func (a *automaton) child(at int32, b byte) (int32, bool) {
	for _, e := range a.nodes[at].edges {
		if e.b == b {
			return e.to, true
		}
	}
	return 0, false
}

// next is the state after one more byte.
func (a *automaton) next(at int32, b byte) int32 {
	for at != 0 {
		if to, ok := a.child(at, b); ok {
			return to
		}
		at = a.nodes[at].fail
	}
	return a.first[b]
}
