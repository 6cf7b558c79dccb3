package sandbox

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"cemli-executor/internal/proctree"
)

// watchEvery is how often processes are counted.
const watchEvery = 25 * time.Millisecond

// watch counts the command's processes and threads where no limit of the kernel's can: it closes
// crowded when they are more than most, or when those of the container leave this program less
// than its share. What starts between two looks is not seen. The function returned ends it; most 0
// means that nothing is counted.
func watch(most int) (crowded <-chan struct{}, stop func()) {
	if most == 0 {
		return nil, func() {}
	}
	full, done := make(chan struct{}), make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if overfull() || tooMany(most) {
					close(full)
					return
				}
			}
		}
	})
	return full, func() {
		close(done)
		loop.Wait()
	}
}

func tooMany(most int) bool {
	count, err := proctree.Tasks(most)
	return err == nil && count > most
}

// overfull reports whether the container has so many processes and threads that this program's
// share is next.
func overfull() bool {
	bound, ok := processBound()
	current, known := pidsFile("current")
	return ok && known && current > bound-keptProcesses/2 // the rest is for what it starts meanwhile
}

// processBound is how many processes and threads the control group may have.
func processBound() (int, bool) { return pidsFile("max") }

// pidsFile is a number that the control group says of its processes; ok is false where it says none.
func pidsFile(name string) (n int, ok bool) {
	for _, folder := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/pids/"} {
		text, err := os.ReadFile(folder + "pids." + name)
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return n, true
		}
	}
	return 0, false
}
