package codes

// runs are the codes about a run, and about what it needs.
var runs = []family{
	{"config", []row{
		{"config.required", operator, "a variable that has no default is not set", "set it"},
		{"config.value", operator, "a variable has a value that it cannot have", "see the message"},
		{
			"config.unknown", operator, "a variable begins with `CEMLI_` and is not known",
			"see the suggestion, or unset it",
		},
		{"config.unsupported", operator, "a variable belongs to a feature that this version does not have", "unset it"},
		{
			"config.credentials", setup, "the OCI credentials cannot be read or used",
			"on OCI: put the function into a dynamic group and wait up to 15 minutes; on a laptop: check the " +
				"configuration file and its `key_file`",
		},
		{
			"config.invoke", operator,
			"the function may not invoke itself, and the package needs more time than one invocation has",
			"let the function invoke itself: the statement with fn-invocation for its dynamic group; or raise its " +
				"timeout to what the package needs; then send rerun_of with a reason",
		},
		{
			"config.write_log", operator,
			"the log that `CEMLI_WRITE_LOG` names cannot be read, so that it is not stored who uploaded",
			"check its OCIDs, and that a statement lets the function's dynamic group read log-content of that log " +
				"group; what is missing is made up for by the next sweep",
		},
		{
			"config.function", operator, "`cemli local` found no function binary that runs",
			"put `cemli-executor` beside `cemli`, or name it with `--function`",
		},
		{
			"config.local_dir", operator, "the folder cannot hold the state of a local OCI",
			"use one that you may write to and no other has open; delete it if it is damaged",
		},
		{
			"config.local_down", operator, "no local OCI is running that has its state in the folder",
			"start one with `cemli local up --dir`, or name the folder that it prints as `dir`",
		},
		{"config.port", operator, "the port is in use or not allowed", "use `--port 0`"},
	}},
	{"store", []row{
		{
			"store.not_found", platform, "the object does not exist",
			"check the object's name and that it has not been deleted",
		},
		{
			"store.bucket_not_found", setup, "the bucket does not exist or may not be seen",
			"check the bucket's name, region and compartment, and the policy that lets the caller see it",
		},
		{
			"store.denied", setup, "the function may not do this",
			"check the IAM policy of the caller for this bucket; changes to it take minutes to apply",
		},
		{
			"store.exists", platform, "the name is taken; it was left as it is",
			"the object is create-only and was left as it is",
		},
		{
			"store.changed", platform, "the object is another version than was asked for",
			"read the object again and decide anew",
		},
		{
			"store.unavailable", passing, "the store failed, hung or dropped the connection, also when tried again",
			"try again; if it persists, check the service's status and the network route to it",
		},
		{"store.corrupt", passing, "the bytes are not those that were there before", "upload the object again"},
		{"store.range", platform, "a read began past the object's end", "read from an offset within the object"},
		{
			"store.name", platform, "the name cannot be an object's",
			"use a relative name of 1 to 1,024 bytes without empty, . or .. segments",
		},
		{
			"store.evidence", platform, "the evidence could not be stored",
			"see the function's log, which has the run's output",
		},
		{
			"store.mailbox", operator,
			"the jobs bucket does not do what jobs rest on: what was to be created only could be overwritten, what " +
				"was written is not what is read, or an address still works that was ended",
			"run nothing apart: it would not be decided who begins a job, or who reads it; report it",
		},
		{
			"store.invocation", platform, "`cemli local run`: the invocation failed",
			"see the function's log with `--verbose`",
		},
		{
			"store.refused", operator,
			"the store does not take the call as it is, and would not the next time (400, 405, 413, 501 …)",
			"see the cause in the function's log; repeating the call as it is does not help",
		},
	}},
	{"sandbox", []row{
		{
			"sandbox.unavailable", operator,
			"the kernel has not what `CEMLI_SANDBOX` or the policy requires; nothing ran",
			"see the message for what is missing; use a kernel that has it, or accept with `CEMLI_SANDBOX=basic` " +
				"that scripts can reach the function's credentials",
		},
		{
			"sandbox.failed", operator,
			"the sandbox was in place and the script's process could do what it forbids; the script did not start",
			"use another kernel or container engine, and report it",
		},
		{
			"sandbox.layer", operator, "a layer of the sandbox could not be put in place; the script did not start",
			"use a kernel that has it, or a lower level",
		},
		{
			"sandbox.network", operator,
			"the package says `\"network\": false`, and at level `none` nothing could hold it to that",
			"set `CEMLI_SANDBOX` to `basic` or more",
		},
		{
			"sandbox.user", operator, "the executor is root and may not become another user, as its scripts have to",
			"run it as another user than root",
		},
		{
			"sandbox.survivor", operator, "processes of a script could not be ended",
			"see what they wait for; the function ends by itself and is started anew; elsewhere start the " +
				"executor anew",
		},
		{
			"sandbox.doubt", afresh,
			"a script before left a process, a file or a socket that could not be undone; nothing more is run " +
				"in that container, which ends when it has answered",
			"nothing; the request is tried again in a fresh container",
		},
		{"sandbox.platform", operator, "packages cannot run on this operating system", "use Linux"},
		{
			"sandbox.workdir", operator,
			"the work folder cannot be made, belongs to someone else, or the scripts' user cannot pass to it",
			"make it a folder of the executor's user with space left; set `TMPDIR` to one that every user may pass " +
				"through",
		},
	}},
	{"runner", []row{
		{
			"runner.invoke", operator, "the executor may not invoke the runner, or it does not exist; nothing ran",
			"check the OCID in `CEMLI_RUNNER`, and the statement with fn-invocation of that function for the " +
				"executor's dynamic group; changes to it take minutes to apply",
		},
		{
			"runner.unknown", author, "the package names a runner that the environment does not have; nothing ran",
			"name one that `CEMLI_RUNNER` names, or none: then the package runs on the first; or have the runner added",
		},
		{
			"runner.probe", operator, "what a runner answers to a probe cannot be read, or lacks what it has to say",
			"deploy executor and runner from one image; see the runner's log, and who else may invoke it",
		},
		{
			"runner.granted", operator, "the token of a runner may do what no script must be able to",
			"see the message for what; take it out of every policy and dynamic group that matches the runner",
		},
		{
			"runner.unavailable", passing, "a runner could not be reached, has no capacity, or its answer was lost",
			"nothing; the request is tried again where nothing ran; if it persists, see the runner's log and its " +
				"application's concurrency",
		},
		{
			"runner.job", platform,
			"what a runner was called with is no job, or none of its version; nothing ran",
			"deploy executor and runner from one image; see who else may invoke the runner",
		},
		{
			"runner.deadline", setup,
			"the runner would be ended before the job's time is over, so that it does not begin it; nothing ran",
			"give the runner's function at least the executor's timeout, detached too; see whether their clocks agree",
		},
		{
			"runner.package", passing,
			"a runner could not get the package or an artifact, or what it got is not what the job names; nothing ran",
			"see the message, and the runner's log; see who else may write to the jobs bucket",
		},
		{
			"runner.internal", platform, "a runner has a fault, and stopped the job",
			"see the runner's log for the fault, and the result for what the scripts have done; report it",
		},
		{
			"runner.mailbox", interrupted,
			"a document of a job's mailbox is not what its executor or runner writes there",
			"see who else may write to the jobs bucket; what the scripts have done has to be looked up",
		},
		{
			"runner.outcome", interrupted,
			"what a runner says has come of a job cannot have: it is another job's, damaged, too large, or " +
				"contradicts the plan",
			"see the run's last progress and the runner's log for what the scripts have done; then send rerun_of " +
				"or resume_from with a reason",
		},
	}},
	{"step", []row{
		{"step.failed", script, "a script exited with a code other than 0, or a signal ended it", "see its log"},
		{
			"step.timeout", timedOut, "a script was stopped because its time, or that of the run, had ended",
			"make it faster, split the package, or raise the function's timeout",
		},
		{
			"step.interrupted", interrupted, "a script was stopped because the executor was",
			"see which parts took effect before you run it again",
		},
		{
			"step.cancelled", cancelled, "somebody cancelled the run, and a script was stopped, or not begun, for that",
			"see who did, and why, in the result; see which parts took effect before you run it again",
		},
		{
			"step.deadline", author, "no time was left to begin, or less than the package's `timeout`",
			"raise the function's timeout, or lower `CEMLI_RESERVE` or the package's; a Fn server has no detached " +
				"invocations, which could have more time",
		},
		{
			"step.interpreter", author, "the program that a `#!` line names does not exist, or the line ends in CR LF",
			"name one that the function's image has",
		},
		{
			"step.tool", author, "a command that the manifest lists under `tools` is not on `PATH`",
			"add it to the function's image",
		},
		{
			"step.processes", script,
			"a script had more processes and threads at once than the container leaves it, and was ended",
			"let it do less at the same time, or give the function more",
		},
		{"step.undo", platform, "an undo was not run because the executor is being stopped", "undo by hand"},
		{
			"step.modified", scriptFinal, "a script is no longer what was admitted",
			"an earlier script changed it; let it write elsewhere",
		},
		{
			"step.mask", script, "what a script wrote to `CEMLI_MASK` cannot be used",
			"append values of at least 6 bytes, one a line, 64 KB with all that is masked",
		},
		{
			"step.output", script, "what a script wrote to `CEMLI_OUTPUT` cannot be used",
			"write lines of the form `KEY=value`, or `KEY<<END`, lines, `END`",
		},
		{"step.start", started, "a script could not be started", "see the function's log"},
	}},
	{"secret", []row{
		{
			"secret.unavailable", byCause,
			"there is no such secret, the function may not read it, or there is no vault",
			"check its name or OCID, and the statement that lets the function read secret bundles; with `cemli run` " +
				"set `CEMLI_SECRET_` and the name that scripts see it by",
		},
		{
			"secret.vault", asker, "the secret is named, and `CEMLI_VAULT` is not set",
			"set it, or use the secret's OCID",
		},
		{
			"secret.short", author,
			"a secret or a sensitive parameter has fewer than 6 bytes, which cannot be masked without masking much " +
				"else",
			"use a longer one",
		},
		{
			"secret.large", author, "the secrets of a package have more than 32 KB together",
			"keep a short key in the vault, and what it opens elsewhere",
		},
		{
			"secret.size", author,
			"secrets and sensitive values of the request and the manifest have more than 64 KB together",
			"give less of what has to be masked",
		},
		{"secret.value", asker, "a secret is no text in UTF-8", "store it as base64 text"},
		{
			"secret.sandbox", asker,
			"the package uses secrets, and scripts are confined below level `isolated`, so that they could take the " +
				"function's identity, or can write the memory of a process that outlives them (gap `init`)",
			"use a kernel with Landlock, or name the accepted level as `sandbox` in the policy",
		},
	}},
	{"state", []row{
		{
			"state.attempts", operator,
			"the run was tried as often as `CEMLI_LIMIT_ATTEMPTS` allows, and each time failed or was ended before " +
				"its first step", "see the message for the last failure; then send rerun_of with a reason",
		},
		{
			"state.busy", author, "another run of the concurrency group has not ended, and the package does not wait",
			"upload it again later, or let it wait with `on_busy: queue`",
		},
		{
			"state.clock", setup, "the store's clock and the function's are more than 10 s apart; nothing ran",
			"set the machine's clock",
		},
		{
			"state.conflict", passing,
			"a record was changed by others 20 times in a row, or the store refuses every change",
			"send the request again; check that only the function writes to the state bucket",
		},
		{
			"state.deaths", operator,
			"the executor died three times on the upload before anything ran; it is set aside",
			"see the function's log and memory at those times; then send rerun_of with a reason, or a smaller package",
		},
		{"state.large", author, "a record would be over 4 MB", "send fewer parameters, or split the package"},
		{
			"state.lease", damaged, "a record is leased for longer than any run lasts",
			"find out who wrote it; set its lease to a time that has passed if nothing runs",
		},
		{
			"state.lease_lost", damaged,
			"the run has taken longer than its lease, and another invocation may have taken over",
			"see the results of this run and of later ones before you go on",
		},
		{
			"state.lost", damaged,
			"there are results, and the state bucket does not know what ran, or a run is known whose claim is gone; " +
				"nothing runs",
			"restore the bucket; or put a `watch.json` with the time there, knowing that nothing that ran will be " +
				"uploaded again",
		},
		{
			"state.queue", passing, "2,000 runs wait for a concurrency group; the request is tried again",
			"give independent packages groups of their own",
		},
		{
			"state.result", damaged, "a result cannot be read back, or is not the one whose digest its claim has",
			"see who wrote it; the executor never overwrites one",
		},
		{"state.sweep", damaged, "a sweep could not do all of its work", "see the function's log"},
		{
			"state.unnoted", started,
			"a step was not begun, as the state bucket did not take the note that it is until there was no time for it",
			"check that the state bucket can be reached and written; then go on with resume_from, or undo with " +
				"rollback_of",
		},
		{"state.unknown", damaged, "no such request was accepted here", "name the package instead"},
		{
			"state.corrupt", damaged,
			"a record in the state bucket is damaged; nothing ran and nothing was overwritten",
			"find out who wrote it and restore an earlier version of the object; deleting it forgets what ran",
		},
		{"state.newer", damaged, "a record was written by a newer executor", "deploy that one again"},
		{
			"state.record", passing,
			"what an earlier run of the concurrency group did could not be noted, and whoever comes after it has to " +
				"know; nothing ran", "it is tried again; check that the state bucket can be written",
		},
	}},
}
