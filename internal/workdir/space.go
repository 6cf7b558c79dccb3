package workdir

import (
	"fmt"

	"cemli-executor/internal/problem"
)

// Spare is what must stay free beside the contents: logs until they are stored, artifacts, and what the scripts
// themselves write.
var Spare = Space{Bytes: 8 << 20, Inodes: 64}

// Fits says, before anything is written, whether so much fits what is free in the folder.
func (d *Dir) Fits(need Space) error {
	free, ok, err := Free(d.Path(""))
	if err != nil {
		return fmt.Errorf("measure free space: %w", err)
	}
	if !ok || free.Bytes >= need.Bytes+Spare.Bytes && free.Inodes >= need.Inodes+Spare.Inodes {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "archive.no_space",
		Message: fmt.Sprintf("the contents need %d MB and %d files beside %d MB and %d files for the run; %d MB and "+
			"%d files are free",
			mega(need.Bytes), need.Inodes, mega(Spare.Bytes), Spare.Inodes, free.Bytes>>20, free.Inodes),
		Hint: "give the function more memory, a quarter of which is its /tmp, or take large files out of the package",
	}, nil)
}

// mega rounds bytes up to MB, so that a need is never understated.
func mega(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }
