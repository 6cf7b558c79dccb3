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

// watch counts the command's processes and threads where no limit of the kernel can bound them. It closes crowded
// when there are more than most, or when the container's total leaves this program less than its share. It does not
// see what starts and ends between two counts. The returned function stops it; with most 0, nothing is counted.
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

// overfull reports whether the container's processes and threads are about to take this program's share.
func overfull() bool {
	bound, ok := processBound()
	current, known := pidsFile("current")
	return ok && known && current > bound-keptProcesses/2 // the rest is for what it starts meanwhile
}

// processBound is how many processes and threads the control group allows.
func processBound() (int, bool) { return pidsFile("max") }

// pidsFile reads a number about the control group's processes; ok is false if there is none.
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
