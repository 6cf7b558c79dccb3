package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// Config is the function's configuration, from its environment.
type Config struct {
	PackagesBucket string
	ResultsBucket  string
	StateBucket    string
	Environment    string
	Policy         PolicyConfig
	Vault          string       // OCID, for secrets by name; empty: none
	WriteLog       oci.WriteLog // of the packages bucket; zero: none
	Notice         NoticeConfig
	Apart          ApartConfig
	Sandbox        sandbox.Level
	Credentials    []string       // files of the function's identity
	Scripts        sandbox.Limits // what the platform allows scripts
	Output         executor.OutputMode
	LogLevel       slog.Level
	KeepPackages   bool
	TrustSubject   bool // the platform vouches for who calls
	Reserve        time.Duration
	Limits         executor.Limits
	Endpoint       string // base URL of all OCI services; empty on OCI
	WorkDir        string
	MemoryMB       int64 // 0: unknown
	Identity       evidence.Identity
}

// PolicyConfig says where the admission policy is: inline, or an object. Both empty: none.
type PolicyConfig struct {
	Inline         string
	Bucket, Object string
}

// NoticeConfig says which runs are announced.
type NoticeConfig struct {
	Topic string // OCID; empty: none
	All   bool   // successes too
}

// later are variables of the contract that this version does not support. One that is set is refused: an operator who
// relies on it must not wait in vain.
var later = []string{"CEMLI_SIGNING_KEY"}

// ParseConfig reads the configuration from "KEY=value" strings. It reports every
// problem at once, each with the variable's name in Where; then the Config must not
// be used.
func ParseConfig(environ []string) (Config, []problem.Problem) {
	e := &env{values: map[string]string{}}
	for _, entry := range environ {
		key, value, _ := strings.Cut(entry, "=")
		e.values[key] = value
	}
	if e.choice("CEMLI_ROLE", roleExecutor, roleExecutor, roleRunner) == roleRunner {
		return e.runner()
	}
	return e.executor()
}

// executor is the configuration of an executor.
func (e *env) executor() (Config, []problem.Problem) {
	_, onOCI := e.values["OCI_RESOURCE_PRINCIPAL_VERSION"]
	apart := e.apart()
	c := Config{
		PackagesBucket: e.text("CEMLI_PACKAGES_BUCKET", "cemli-packages"),
		ResultsBucket:  e.text("RESULTS_BUCKET", "cemli-results"),
		StateBucket:    e.text("CEMLI_STATE_BUCKET", "cemli-state"),
		Environment:    e.environment(onOCI),
		Vault:          e.ocid("CEMLI_VAULT"),
		WriteLog:       e.writeLog(),
		Notice: NoticeConfig{
			Topic: e.ocid("CEMLI_TOPIC"), All: e.choice("CEMLI_NOTIFY", "all", "all", "failures") == "all",
		},
		Apart: apart,
		Sandbox: sandbox.Level(e.choice("CEMLI_SANDBOX", defaultSandbox(onOCI && apart.Runners == nil),
			"full", "isolated", "basic", "none")),
		KeepPackages: e.choice("CEMLI_KEEP_PACKAGES", "true", "true", "false") == "true",
		Reserve:      e.duration("CEMLI_RESERVE", 15*time.Second, time.Second, 5*time.Minute),
	}
	e.common(&c)
	c.TrustSubject = e.trustSubject()
	c.Limits = e.limits(executor.DefaultLimits())
	e.buckets(c)
	c.Policy = e.policy(c)
	e.unknown()
	return c, e.problems
}

// common reads what every function has.
func (e *env) common(c *Config) {
	c.Credentials = credentialFiles(e.values)
	c.Output = executor.OutputMode(e.choice("CEMLI_LOG_OUTPUT", "all", "all", "tail", "none"))
	c.Endpoint = e.endpoint()
	c.WorkDir = filepath.Join(os.TempDir(), "cemli-executor")
	c.MemoryMB = e.number("FN_MEMORY", 0, 0, 1<<20)
	c.Identity = evidence.Identity{
		FunctionID: e.values["FN_FN_ID"], FunctionName: e.values["FN_FN_NAME"], AppID: e.values["FN_APP_ID"],
	}
	if c.MemoryMB > 0 {
		// Programs reserve much more memory than they use; the platform limits what they use.
		c.Scripts = sandbox.Limits{Processes: scriptProcesses, DataBytes: max(2*c.MemoryMB, 512) << 20}
	}
	e.level(&c.LogLevel)
}

// scriptProcesses is the scripts' share of a function's about 50 processes and threads.
const scriptProcesses = 30

// defaultSandbox is the least that may run. What keeps scripts from an identity is the kernel where one is beside them,
// and else that there is none.
func defaultSandbox(besideIdentity bool) string {
	if besideIdentity {
		return string(sandbox.LevelIsolated)
	}
	return string(sandbox.LevelBasic)
}

// env reads variables and collects what is wrong with them.
type env struct {
	values   map[string]string
	known    []string
	problems []problem.Problem
}

func (e *env) wrong(key, message, hint string) {
	e.problems = append(e.problems, problem.Problem{Code: "config.value", Where: key, Message: message, Hint: hint})
}

// text returns a variable, or its default where it is unset or empty.
func (e *env) text(key, fallback string) string {
	e.known = append(e.known, key)
	if value := e.values[key]; value != "" {
		return value
	}
	return fallback
}

func (e *env) choice(key, fallback string, allowed ...string) string {
	value := e.text(key, fallback)
	if !slices.Contains(allowed, value) {
		e.wrong(key, fmt.Sprintf("%.100q is none of %s", value, strings.Join(allowed, ", ")), "")
		return fallback
	}
	return value
}

func (e *env) number(key string, fallback, least, most int64) int64 {
	text := e.text(key, "")
	if text == "" {
		return fallback
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < least || value > most {
		e.wrong(key, fmt.Sprintf("%.100q is not a whole number from %d to %d", text, least, most), "")
		return fallback
	}
	return value
}

func (e *env) duration(key string, fallback, least, most time.Duration) time.Duration {
	text := e.text(key, "")
	if text == "" {
		return fallback
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < least || value > most {
		e.wrong(key, fmt.Sprintf("%.100q is not a duration from %s to %s", text, least, most),
			"write it like 15s or 2m30s")
		return fallback
	}
	return value
}

// ocid reads an identifier of OCI.
func (e *env) ocid(key string) string {
	value := e.text(key, "")
	if value != "" && (!strings.HasPrefix(value, "ocid1.") || len(value) > 255 ||
		strings.ContainsAny(value, " \t\n/")) {
		e.wrong(key, fmt.Sprintf("%.100q is no OCID", value), "copy it from the resource's page")
	}
	return value
}

// writeLog reads the OCIDs of the packages bucket's write log, which become part of a query.
func (e *env) writeLog() oci.WriteLog {
	const key = "CEMLI_WRITE_LOG"
	text := e.text(key, "")
	match := writeLogForm.FindStringSubmatch(text)
	if text == "" || match == nil || len(text) > 3*256 {
		if text != "" {
			e.wrong(key, fmt.Sprintf("%.100q is not the OCIDs of a compartment, a log group and a log", text),
				"write it as COMPARTMENT/LOG_GROUP/LOG")
		}
		return oci.WriteLog{}
	}
	return oci.WriteLog{Compartment: match[1], Group: match[2], Log: match[3]}
}

var writeLogForm = regexp.MustCompile(
	`^(ocid1\.(?:compartment|tenancy)\.[A-Za-z0-9._-]+)/` +
		`(ocid1\.loggroup\.[A-Za-z0-9._-]+)/(ocid1\.log\.[A-Za-z0-9._-]+)$`)

func (e *env) environment(onOCI bool) string {
	const key = "CEMLI_ENVIRONMENT"
	value := e.text(key, "")
	switch {
	case value == "" && onOCI:
		e.problems = append(e.problems, problem.Problem{
			Code: "config.required", Where: key, Message: "the variable is not set",
			Hint: "name the environment that the function changes, such as dev, test or prod",
		})
	case value == "":
		return "local"
	case len(value) > 63 || strings.Trim(value,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "":
		e.wrong(key, fmt.Sprintf("%.100q is not 1 to 63 letters, digits, dots, hyphens and underscores", value), "")
	}
	return value
}

func (e *env) level(level *slog.Level) {
	text := e.choice("CEMLI_LOG_LEVEL", "info", "debug", "info", "warn", "error")
	_ = level.UnmarshalText([]byte(text)) // one of the choices
}

// endpoint accepts only a loopback URL: any other would send signed requests, and packages, to a host that is not
// OCI.
func (e *env) endpoint() string {
	const key = "CEMLI_ENDPOINT"
	text := e.text(key, "")
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || !loopback(u.Hostname()) {
		e.wrong(key, "it is not the base URL of a service on this machine",
			"use the endpoint that cemli local up prints, or leave it unset on OCI")
		return ""
	}
	return strings.TrimRight(text, "/")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// limits reads CEMLI_LIMIT_*, each of which replaces one default.
func (e *env) limits(l executor.Limits) executor.Limits {
	e.archive(&l)
	l.LogBytes = e.number("CEMLI_LIMIT_LOG_BYTES", l.LogBytes, 1<<10, 1<<30)
	l.Artifacts = int(e.number("CEMLI_LIMIT_ARTIFACTS", int64(l.Artifacts), 0, 100_000))
	l.ArtifactBytes = e.number("CEMLI_LIMIT_ARTIFACT_BYTES", l.ArtifactBytes, 0, 10<<30)
	l.Attempts = int(e.number("CEMLI_LIMIT_ATTEMPTS", int64(l.Attempts), 1, 1000))
	l.RunTime = e.duration("CEMLI_LIMIT_RUN_TIME", l.RunTime, time.Second, 24*time.Hour)
	return l
}

// archive reads the limits of a package's zip.
func (e *env) archive(l *executor.Limits) {
	l.PackageBytes = e.number("CEMLI_LIMIT_PACKAGE_BYTES", l.PackageBytes, 1, 50<<30)
	l.Archive.Entries = int(e.number("CEMLI_LIMIT_ENTRIES", int64(l.Archive.Entries), 1, 1<<20))
	l.Archive.FileBytes = e.number("CEMLI_LIMIT_FILE_BYTES", l.Archive.FileBytes, 1, 50<<30)
	l.Archive.TotalBytes = e.number("CEMLI_LIMIT_TOTAL_BYTES", l.Archive.TotalBytes, 1, 50<<30)
	l.Archive.Ratio = e.number("CEMLI_LIMIT_RATIO", l.Archive.Ratio, 1, 1100)
}

// trustSubject refuses to be set where no platform keeps callers from writing its headers: a function's id is an OCID
// on OCI, and not on a Fn server.
func (e *env) trustSubject() bool {
	const key = "CEMLI_TRUST_SUBJECT"
	trusted := e.choice(key, "false", "true", "false") == "true"
	if trusted && !onFunctions(e.values["FN_FN_ID"]) {
		e.wrong(key, "the function is not on OCI Functions, as its id is no OCID: any caller can write who calls",
			"unset it, or set it to false")
	}
	return trusted
}

// onFunctions reports whether the function with this id is on OCI Functions.
func onFunctions(id string) bool { return strings.HasPrefix(id, "ocid1.fnfunc.") }

// buckets requires separate buckets for packages, evidence, state and jobs: evidence is create-only, which the others
// are not, results must never be mistaken for packages, and runners write to the bucket of jobs.
func (e *env) buckets(c Config) {
	keys := []string{"CEMLI_PACKAGES_BUCKET", "RESULTS_BUCKET", "CEMLI_STATE_BUCKET", "CEMLI_JOBS_BUCKET"}
	names := []string{c.PackagesBucket, c.ResultsBucket, c.StateBucket, c.Apart.Jobs}
	for i, name := range names {
		if strings.ContainsAny(name, "/ \t\n") || len(name) > 256 {
			e.wrong(keys[i], fmt.Sprintf("%.100q is not a bucket's name", name), "")
		}
		if first := slices.Index(names, name); first != i {
			e.wrong(keys[i], fmt.Sprintf("it is the same bucket as %s", keys[first]),
				"packages, results, state and jobs need a bucket each")
		}
	}
}

// policy reads CEMLI_POLICY: a document, or the object that holds it, in a bucket that
// neither uploaders nor runs can write.
func (e *env) policy(c Config) PolicyConfig {
	const key = "CEMLI_POLICY"
	text := e.text(key, "")
	switch {
	case text == "":
		return PolicyConfig{}
	case strings.HasPrefix(strings.TrimSpace(text), "{"):
		return PolicyConfig{Inline: text}
	}
	bucket, object, ok := strings.Cut(text, "/")
	switch {
	case !ok || bucket == "" || store.CheckName(object) != nil:
		e.wrong(key, fmt.Sprintf("%.100q is neither a JSON document nor the name of an object", text),
			"write it as BUCKET/OBJECT")
	case slices.Contains([]string{c.PackagesBucket, c.ResultsBucket, c.StateBucket, c.Apart.Jobs}, bucket):
		e.wrong(key, "the policy is in the bucket of packages, results, state or jobs: those it is for could change it",
			"keep it in a bucket of its own")
	}
	return PolicyConfig{Bucket: bucket, Object: object}
}

// unknown refuses variables with our prefix that no feature reads: a misspelt one would silently leave its default in
// force.
func (e *env) unknown() {
	for key := range e.values {
		switch {
		case slices.Contains(e.known, key) || !strings.HasPrefix(key, "CEMLI_"):
		case slices.Contains(later, key):
			e.problems = append(e.problems, problem.Problem{
				Code: "config.unsupported", Where: key, Message: "this version does not have the feature",
				Hint: "unset it, or use an executor that has it",
			})
		default:
			hint := "unset it"
			if near := problem.Nearest(key, e.known); near != "" {
				hint = "did you mean " + near + "?"
			}
			e.problems = append(e.problems,
				problem.Problem{Code: "config.unknown", Where: key, Message: "no such variable", Hint: hint})
		}
	}
	slices.SortStableFunc(e.problems, func(a, b problem.Problem) int { return strings.Compare(a.Where, b.Where) })
}
