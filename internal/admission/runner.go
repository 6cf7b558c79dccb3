package admission

// Runner is where steps run apart from the executor: something that runs jobs and is granted nothing.
type Runner struct {
	Label string // what packages and the policy call it
	Kind  string // KindFunction
	ID    string // the function's OCID
}

// KindFunction is the kind of a runner that is another function.
const KindFunction = "function"
