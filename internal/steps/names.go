package steps

import (
	"os"
	"strings"

	"cemli-executor/internal/redact"
)

// keptNames are the names that the files of a run are kept as. Each is given once, and none is that of a
// folder that another is in, so that all files can be put back.
type keptNames struct {
	root    *os.Root
	places  []string        // folders whose files are kept, in root
	files   map[string]bool // names that were given
	folders map[string]bool // and those of the folders that they are in
	last    map[string]int  // the number that a name without its secrets was given last
}

func newKeptNames(root *os.Root, places ...string) *keptNames {
	return &keptNames{root, places, map[string]bool{}, map[string]bool{}, map[string]int{}}
}

// give gives a file the name that it has; false if it cannot be kept beside those before it.
func (n *keptNames) give(name string) bool {
	if n.files[name] || n.folders[name] {
		return false
	}
	above := ancestors(name)
	for _, folder := range above {
		if n.files[folder] {
			return false
		}
	}
	n.files[name] = true
	for _, folder := range above {
		n.folders[folder] = true
	}
	return true
}

// giveShown gives a file that has secrets in its name what is shown of that, with numbers where a file has it: one
// that has come, or one that is there and may come.
func (n *keptNames) giveShown(shown string) string {
	name := ""
	parts := strings.Split(shown, "/")
	for _, folder := range parts[:len(parts)-1] {
		name = n.free(name+folder, 1, n.isFile) + "/"
	}
	name += parts[len(parts)-1]
	name = n.free(name, n.last[name]+1, func(name string) bool { return n.isFile(name) || n.isFolder(name) })
	n.give(name)
	return name
}

// free is a name with the least number from first on that is not taken.
func (n *keptNames) free(name string, first int, taken func(string) bool) string {
	number := first
	for taken(redact.WithNumber(name, number)) {
		number++
	}
	n.last[name] = number
	return redact.WithNumber(name, number)
}

func (n *keptNames) isFile(name string) bool {
	return n.files[name] || n.isThere(name, false)
}

func (n *keptNames) isFolder(name string) bool {
	return n.folders[name] || n.isThere(name, true)
}

// isThere reports whether one of the places has a folder, or anything else, of the name.
func (n *keptNames) isThere(name string, folder bool) bool {
	for _, place := range n.places {
		if info, err := n.root.Lstat(place + "/" + name); err == nil && info.IsDir() == folder {
			return true
		}
	}
	return false
}

// ancestors are the folders that a name is in.
func ancestors(name string) []string {
	var all []string
	for i, b := range []byte(name) {
		if b == '/' {
			all = append(all, name[:i])
		}
	}
	return all
}
