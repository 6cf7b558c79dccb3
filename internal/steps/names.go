package steps

import (
	"os"
	"strings"

	"cemli-executor/internal/redact"
)

// keptNames gives the files of a run the names under which they are kept. No name is given twice, and none is also
// that of a folder of another file, so that all files can be restored.
type keptNames struct {
	root    *os.Root
	places  []string        // folders in root whose files are kept
	files   map[string]bool // names that were given
	folders map[string]bool // folders in these names
	last    map[string]int  // the last number that was added to a masked name
}

func newKeptNames(root *os.Root, places ...string) *keptNames {
	return &keptNames{root, places, map[string]bool{}, map[string]bool{}, map[string]int{}}
}

// give gives a file its own name; it returns false if that conflicts with a name given before.
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

// giveShown names a file with secrets in its name: the masked name, with numbers added to parts that another file has
// or may still need.
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

// free is the name with the lowest number, from first on, that is not taken.
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

// isThere reports whether one of the places has a folder of this name or, if folder is false, anything else.
func (n *keptNames) isThere(name string, folder bool) bool {
	for _, place := range n.places {
		if info, err := n.root.Lstat(place + "/" + name); err == nil && info.IsDir() == folder {
			return true
		}
	}
	return false
}

// ancestors are the folders in a name.
func ancestors(name string) []string {
	var all []string
	for i, b := range []byte(name) {
		if b == '/' {
			all = append(all, name[:i])
		}
	}
	return all
}
