package examples_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cemli-executor/internal/testkit"
)

// cluster is a PostgreSQL of a test's own, on a loopback port, with one user who logs in with a password.
type cluster struct {
	bin, dir       string
	port           int
	user, password string
}

// uri has no password: that is a secret.
func (c *cluster) uri() string { return fmt.Sprintf("postgresql://127.0.0.1:%d/erp", c.port) }

// postgreSQL is the folder with the server's programs, which Debian does not have in PATH.
func postgreSQL(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append([]string{path}, found...)
	}
	if len(found) == 0 {
		t.Skip("NOT TESTED: needs the server of PostgreSQL")
	}
	return filepath.Dir(found[len(found)-1])
}

// startPostgreSQL makes a cluster, starts it, and makes the user with a database of its own.
func startPostgreSQL(t *testing.T, user, password string) *cluster {
	t.Helper()
	c := &cluster{bin: postgreSQL(t), dir: testkit.TempDir(t), user: user, password: password}
	owned(t, c.dir)
	c.run(t, "initdb", "--pgdata", filepath.Join(c.dir, "data"),
		"--username=owner", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
		"--no-sync")
	for try := 1; !c.start(t, try == 3); try++ {
	}
	quoted := strings.ReplaceAll(password, "'", "''")
	c.run(t, "psql", "--host="+c.dir, "--port="+strconv.Itoa(c.port),
		"--username=owner", "--dbname=postgres", "--set=ON_ERROR_STOP=1",
		"--command=create role "+user+" login password '"+quoted+"'", "--command=create database erp owner "+user)
	return c
}

// start starts the server on a port that was free a moment ago, unless somebody has taken it since. It is a child in
// the test's own session: what the executor finds in another one it takes for something that a script has left.
func (c *cluster) start(t *testing.T, must bool) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := c.command("postgres", "-D", filepath.Join(c.dir, "data"), "-h", "127.0.0.1", "-p", strconv.Itoa(c.port),
		"-k", c.dir, "-c", "fsync=off")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, text := bufio.NewScanner(log), ""
	for !strings.Contains(text, "ready to accept connections") && lines.Scan() {
		text += lines.Text() + "\n"
	}
	if !strings.Contains(text, "ready to accept connections") {
		_ = cmd.Wait()
		if must {
			t.Fatalf("PostgreSQL does not start:\n%s", text)
		}
		return false
	}
	go io.Copy(io.Discard, log) //nolint:errcheck // until the server ends
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
	})
	return true
}

// nobody is who the server runs as where the test is root, which PostgreSQL refuses.
const nobody = 65534

func owned(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
}

// command is one of PostgreSQL's programs, as the server's user.
func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir, cmd.Env = c.dir, []string{"PATH=/usr/bin:/bin", "PGPASSWORD=" + c.password}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// run runs one of them to its end, and returns what it printed.
func (c *cluster) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// query runs SQL as the user, and returns the rows.
func (c *cluster) query(t *testing.T, sql string) string {
	t.Helper()
	out := c.run(t, "psql",
		"--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--username="+c.user,
		"--dbname="+c.uri(), "--command="+sql)
	return strings.TrimSuffix(out, "\n")
}

// reset leaves nothing in the database but what these statements make.
func (c *cluster) reset(t *testing.T, sql string) {
	t.Helper()
	c.query(t,
		"set client_min_messages = warning; drop schema if exists public cascade; drop owned by "+c.user+
			" cascade; create schema public")
	c.query(t, sql)
}
