package terraform_test

import (
	"regexp"
	"strings"
	"testing"

	"cemli-executor/internal/iam"
)

// Whoever follows the page from its beginning has every variable of the shell that a command
// there uses, and what it takes from Terraform is an output.
func TestOperationsSetsItsVariables(t *testing.T) {
	page := read(t, "../docs/operations/README.md")
	fence := regexp.MustCompile("(?s)```sh\n(.*?)```")
	use := regexp.MustCompile(`\$\{?([A-Z_]+)`)
	assignment := regexp.MustCompile(`(?m)^([A-Z_]+)=`)
	set, uses := map[string]bool{}, 0
	for _, block := range fence.FindAllStringSubmatch(page, -1) {
		for _, line := range strings.Split(block[1], "\n") {
			for _, match := range use.FindAllStringSubmatch(line, -1) {
				uses++
				if !set[match[1]] {
					t.Errorf("%s is used and was not set before: %s", match[1], line)
				}
			}
			if match := assignment.FindStringSubmatch(line); match != nil {
				set[match[1]] = true
			}
		}
	}
	if uses < 10 {
		t.Errorf("only %d variables are used: has the page another form?", uses)
	}
	outputs := names(`(?m)^output "(\w+)"`, read(t, "outputs.tf"))
	for _, name := range names(`terraform output -raw (\w+)`, page) {
		if !strings.Contains(strings.Join(outputs, " ")+" ", name+" ") {
			t.Errorf("terraform has no output %s", name)
		}
	}
}

// What stays unverified is one list, and each entry has what tells.
func TestUnverified(t *testing.T) {
	rows := 0
	for _, line := range strings.Split(read(t, "../docs/operations/unverified.md"), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| taken") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 {
			t.Errorf("%d cells: %s", len(cells), line)
		}
	}
	if rows < 10 {
		t.Errorf("only %d entries", rows)
	}
	for name, table := range iam.Tables().Types {
		if table.Unread != "" && !strings.Contains(read(t, "../docs/operations/unverified.md"), "`"+name+"`") {
			t.Errorf("the table of %s was not read, and the list does not say so", name)
		}
	}
}
