//go:build !linux

package container

// Find returns one that is not this program's: nothing runs here.
func Find(func(string) string, string, ...string) *Container {
	return &Container{shared: "containers are Linux's"}
}

type contents struct{}

type places struct{}

func (places) look() (contents, error) { return contents{}, nil }

func (places) clean(contents) []string { return nil }

func (*Container) endOthers() {}
