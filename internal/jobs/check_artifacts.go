package jobs

import (
	"fmt"
	"strings"

	"cemli-executor/internal/evidence"
)

// artifacts checks the files that scripts left: their number, size and names.
func (c *checker) artifacts() {
	limits := c.job.Limits
	kept, numbered, size := map[string]bool{}, 0, int64(0)
	restored := c.restored()
	for i, a := range c.outcome.Artifacts {
		where := fmt.Sprintf("/artifacts/%d", i)
		switch {
		case !c.outcome.Began:
			c.bad(where, "no script has begun that could have left it")
		case a.Withheld != "":
			if a.N != 0 || a.Size != 0 || a.SHA256 != "" {
				c.bad(where, "it was withheld, and it is there")
			}
			continue
		case a.N != 0:
			if numbered++; a.N != numbered {
				c.bad(where+"/n", "it has the number %d; want %d", a.N, numbered)
			}
		case !restored[Restored{Size: a.Size, SHA256: a.SHA256}]:
			c.bad(where+"/n", "it is neither stored nor one that was restored")
		}
		size += a.Size
		c.name(where, a.Name, kept)
		if a.SHA256 == "" || size > limits.ArtifactBytes {
			c.bad(where+"/size", "with it the artifacts have %d bytes, or it has no digest; at most %d are kept", size,
				limits.ArtifactBytes)
		}
	}
	if len(kept) > limits.Artifacts || len(c.outcome.Artifacts) > limits.Artifacts+maxUncollected {
		c.bad("/artifacts", "there are more than %d", limits.Artifacts)
	}
	c.folders(kept)
}

// restored are the sizes and digests of what was restored.
func (c *checker) restored() map[Restored]bool {
	all := map[Restored]bool{}
	for _, r := range c.job.Restore {
		all[Restored{Size: r.Size, SHA256: r.SHA256}] = true
	}
	return all
}

// name checks that an artifact can be kept under its name, and no other is.
func (c *checker) name(where, name string, kept map[string]bool) {
	object := evidence.Dir(c.job.RunID) + "artifacts/" + name
	if !isPath(name) || len(object) > maxPath || strings.Count(name, "/") >= maxFolders || kept[name] {
		c.bad(where+"/name", "no file is kept under this name, or another one is")
	}
	kept[name] = true
}

// folders checks that no artifact has the name of a folder of another, so that all of them can be restored.
func (c *checker) folders(kept map[string]bool) {
	for name := range kept {
		for i, b := range []byte(name) {
			if b == '/' && kept[name[:i]] {
				c.bad("/artifacts", "one is in a folder that has the name of another")
			}
		}
	}
}
