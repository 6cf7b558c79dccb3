package testkit

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// NeedEngine skips a test where there is no container engine that this user may use.
func NeedEngine(t testing.TB) {
	t.Helper()
	if reason := noEngine(); reason != "" {
		t.Skip("NOT TESTED: " + reason)
	}
}

// MustHaveEngine fails it instead.
func MustHaveEngine(t testing.TB) {
	t.Helper()
	if reason := noEngine(); reason != "" {
		t.Fatal(reason)
	}
}

func noEngine() string {
	if os.Geteuid() != 0 {
		return "needs root, to give the socket's folder to the container's user"
	}
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		return fmt.Sprintf("needs a container engine: docker version: %v: %s", err, bytes.TrimSpace(out))
	}
	return ""
}

// Container is the function in what OCI gives it: user 1000 without capabilities or new
// privileges, a read-only root, 50 processes, 350 files, memory without swap, and a /tmp
// that takes a quarter of it, has few inodes and executes nothing. The program is
// /function/cemli-executor, and a shell is PID 1, as the platform's init is.
type Container struct {
	Name, Image string
	MemoryMB    int
	Inodes      int // of /tmp
	// IOFS and Credentials are where the container sees the folders of an instance's socket
	// and credentials; empty: where they are.
	IOFS, Credentials string
	Flags             []string // more of docker run
}

// Command is the command line that runs the container for an instance of a function whose
// folder is dir. The environment goes with it, but for what is the image's own.
func (c Container) Command(dir string) []string {
	iofs, credentials := dir+"/iofs", dir+"/credentials"
	tmp := ContainerTmp(c.MemoryMB/4, c.Inodes)
	docker, err := exec.LookPath("docker") // an instance has a PATH of its own
	if err != nil {
		docker = "docker"
	}
	run := []string{
		"exec", docker, "run --rm --name", c.Name,
		"--network host --read-only --user 1000:1000 --cap-drop ALL --security-opt no-new-privileges",
		"--security-opt seccomp=unconfined --pids-limit 50 --ulimit nofile=350:350 --tmpfs", tmp,
		fmt.Sprintf("--memory %dm --memory-swap %dm", c.MemoryMB, c.MemoryMB),
	}
	mount := func(from, to, mode string) string {
		if to == "" {
			to = from
		}
		return "-v " + from + ":" + to + mode
	}
	run = append(run, mount(iofs, c.IOFS, ""), mount(credentials, c.Credentials, ":ro"))
	run = append(append(run, c.Flags...), `"$@"`)
	if c.IOFS != "" {
		run = append(run, "-e FN_LISTENER=unix:"+c.IOFS+"/lsnr.sock")
	}
	if c.Credentials != "" {
		run = append(run,
			"-e OCI_RESOURCE_PRINCIPAL_RPST="+c.Credentials+"/rpst -e OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM="+
				c.Credentials+"/private.pem")
	}
	run = append(run, "--entrypoint /bin/sh", c.Image, "-c '/function/cemli-executor; exit $?'")
	return []string{"/bin/sh", "-c", strings.Join([]string{
		"set -e", "chown -R 1000:1000 " + iofs + " " + credentials, "chmod 755 " + dir,
		`for v in $(env | cut -d= -f1); do case $v in PATH|HOME|TMPDIR|PWD) ;; *) set -- "$@" -e "$v";; esac; done`,
		"export HOME=/root DOCKER_HOST='" + os.Getenv("DOCKER_HOST") + "'",
		strings.Join(run, " "),
	}, "\n")}
}

// ContainerTmp is what docker run's --tmpfs takes for the /tmp of OCI Functions: as many megabytes and
// files, and nothing in it is executed. Podman has no option for the number of files, and bounds none.
func ContainerTmp(megabytes, files int) string {
	tmp := fmt.Sprintf("/tmp:size=%dm,noexec,mode=1777", megabytes)
	if out, _ := exec.Command("docker", "version").Output(); bytes.Contains(out, []byte("Podman")) {
		return tmp
	}
	return fmt.Sprintf("%s,nr_inodes=%d", tmp, files)
}

// Remove ends the container, which the end of the command that runs it does not.
func (c Container) Remove() {
	_ = exec.Command("docker", "rm", "--force", c.Name).Run() // #nosec G204 -- a test's; it may have ended
}
