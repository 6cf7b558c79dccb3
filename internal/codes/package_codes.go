package codes

// remake is the cure where the zip itself is wrong and not what is in it.
const remake = "make the zip again with an ordinary tool, or with cemli pack FOLDER, and check the upload"

// packages are the codes about a package, and about what was asked to be done with it.
var packages = []family{
	{"archive", []row{
		{
			"archive.package_too_large", author,
			"the object is larger than `CEMLI_LIMIT_PACKAGE_BYTES`; it was not read",
			"leave out what the scripts can fetch themselves, or raise the limit",
		},
		{
			"archive.empty", author, "the file has no bytes, or the zip has no entries",
			"make the zip again from inside the package's folder and check the upload",
		},
		{
			"archive.not_a_zip", author, "the file neither begins nor ends as a zip does",
			"upload a zip, made for instance with cemli pack FOLDER",
		},
		{
			"archive.truncated", author, "the zip is cut off: the record at its end is missing or incomplete",
			"check that the upload was complete, or make the zip again",
		},
		{
			"archive.leading_data", author, "there is something before the first entry, as in self-extracting zips",
			remake,
		},
		{"archive.trailing_data", author, "there is something after the zip's end", remake},
		{
			"archive.two_ends", author,
			"the zip has a second end record, so that programs disagree about what is in it", remake,
		},
		{
			"archive.multi_disk", author, "the zip is part of a set that was split",
			"join the parts first, or make the zip again in one piece",
		},
		{"archive.zip64", author, "the 64-bit records are missing, malformed or contradict the others", remake},
		{"archive.directory", author, "the zip's directory is malformed or not where the end record says", remake},
		{
			"archive.directory_too_large", author, "the zip's directory is larger than so many entries need",
			"make the zip again without comments and extra fields",
		},
		{
			"archive.too_many_entries", author, "there are more files and folders than allowed",
			"pack fewer files, or put them into one archive that a step unpacks",
		},
		{
			"archive.not_utf8", author, "a name is not UTF-8",
			"zip it with UTF-8 names: 7z a -mcu=on; in WinZip and WinRAR the option for Unicode names; or use cemli " +
				"pack FOLDER",
		},
		{
			"archive.control_character", author, "a name has a NUL, control or bidirectional-control character",
			"rename the file",
		},
		{
			"archive.backslash", author, "a name has a backslash",
			"rename the file, or make the zip with a tool that separates folders by /",
		},
		{
			"archive.absolute_path", author, "a path begins with a slash or a drive",
			"make the zip from inside the package's folder",
		},
		{"archive.path_traversal", author, "a path has a .. segment", "make the zip from inside the package's folder"},
		{
			"archive.path_segment", author, "a path has an empty or . segment",
			"make the zip from inside the package's folder",
		},
		{
			"archive.name_too_long", author, "a path is longer than 1,024 bytes, or a segment of it longer than 255",
			"use shorter names",
		},
		{"archive.too_deep", author, "a path is more than 32 levels deep", "use fewer folders inside each other"},
		{
			"archive.reserved_name", author, "a name is .cemli in other letters, or .cemli is a file",
			"rename it: .cemli/ is the folder of signatures",
		},
		{"archive.duplicate", author, "a name occurs twice", "make the zip again without the second one"},
		{
			"archive.case_duplicate", author,
			"two names differ only in case or Unicode form, so that some systems take them for one",
			"rename one of them",
		},
		{"archive.file_and_folder", author, "a name is a file and a folder", "rename one of them"},
		{
			"archive.link", author, "an entry is a symbolic link, or may be one to some programs",
			"put the file itself there",
		},
		{"archive.special_file", author, "an entry is a device, FIFO, socket or other special file", "leave it out"},
		{
			"archive.mode", author, "a file's mode has setuid, setgid or sticky",
			"clear it with chmod a-s,-t, or make the zip with cemli pack FOLDER, which packs no modes",
		},
		{"archive.folder", author, "an entry is not clearly a file or a folder: name, mode and data disagree", remake},
		{
			"archive.encrypted", author, "an entry is encrypted",
			"make the zip without a password; secrets belong into the vault",
		},
		{
			"archive.method", author, "an entry is compressed by another method than deflate",
			"use store or deflate, the default of every tool",
		},
		{"archive.flags", author, "an entry has flags that are reserved or change how it is read", remake},
		{
			"archive.extra_field", author,
			"an entry's extra fields are malformed, or of a kind that changes what the entry is",
			"make the zip again with an ordinary tool; zip -X leaves extra fields out",
		},
		{
			"archive.renamed", author, "an extra field gives an entry another name",
			"rename the file, or make the zip where the locale is UTF-8",
		},
		{"archive.size", author, "an entry's sizes contradict each other, or are not those of its data", remake},
		{
			"archive.file_too_large", author, "a file is larger than allowed",
			"take it out of the package, or have a step fetch it",
		},
		{
			"archive.too_large", author, "all files together are larger than allowed",
			"take large files out of the package, or have a step fetch them",
		},
		{
			"archive.ratio", author, "the data is compressed more than ordinary files can be",
			"take large uniform files out, or have a step make them",
		},
		{"archive.overlap", author, "an entry's data runs into the next record, as in zip bombs", remake},
		{
			"archive.gap", author, "there are bytes between the entries that no entry owns, where something may hide",
			remake,
		},
		{"archive.local_header", author, "an entry has no header where the directory says", remake},
		{"archive.header_mismatch", author, "an entry's own header contradicts the directory", remake},
		{
			"archive.descriptor", author, "the record after an entry's data is missing or contradicts the directory",
			remake,
		},
		{"archive.data", author, "an entry's compressed data is malformed", remake},
		{"archive.crc", author, "an entry's data does not have the checksum that the zip gives", remake},
		{
			"archive.top_folder", author, "everything is in one folder, the package's own, instead of at the root",
			"pack the folder's contents: cd FOLDER && zip -r ../NAME.zip . (or cemli pack FOLDER)",
		},
		{"archive.more", author, "a problem occurs more than 100 times; the rest is counted, not listed", remake},
		{
			"archive.ignore", author, "a line of `.cemliignore` is no pattern, or the file is none",
			"close the brackets, put a `\\` before a bracket that means itself, or remove the line",
		},
		{
			"archive.no_space", author, "there is no space left to extract to",
			"give the function more memory, a quarter of which is its /tmp, or take large files out of the package",
		},
	}},
	{"manifest", []row{
		{
			"manifest.missing", author, "there is no `manifest.json` at the package's root",
			"add it, or pack the folder's contents and not the folder",
		},
		{
			"manifest.json", author,
			"it is not one JSON value in UTF-8, with no white space around it but blanks, tabs and line ends",
			"mend the line that the message names",
		},
		{"manifest.duplicate_key", author, "a key occurs twice in its object", "keep one"},
		{"manifest.not_object", author, "it is JSON but no object", "begin with `{`"},
		{"manifest.too_large", author, "it is over 1 MB", "move data into a file of the package"},
		{"manifest.too_deep", author, "values are nested more than 32 deep", "flatten it"},
		{"manifest.required", author, "a key that must be there is missing or empty", "add it"},
		{"manifest.type", author, "a value has the wrong type", "see the message"},
		{"manifest.name", author, "a package's name has another form", "use 1 to 63 of `a-z 0-9 . _ -`"},
		{"manifest.version", author, "the version is not SemVer 2.0.0", "write `1.0.0`"},
		{"manifest.package_type", author, "the type is none of the five", "use one of them"},
		{"manifest.text", author, "a text is too long or has control characters", "write it on one line"},
		{"manifest.choice", author, "a value is none of those that are allowed", "see the message"},
		{"manifest.number", author, "a number is not whole or out of range", "see the message"},
		{"manifest.duration", author, "a duration has another form", "write `90s` or `1h30m`"},
		{"manifest.duration_range", author, "a duration is zero or over 24 h", "use one between"},
		{"manifest.too_many", author, "a list or map has over 1,000 members", "shorten it"},
		{"manifest.repeated", author, "a list has a value twice", "keep one"},
		{"manifest.environment_name", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.parameter_name", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.set_name", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.step_name", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.variable", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.group", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.runner", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.tool", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.path", author, "a name has a form that it cannot have", "see the message"},
		{"manifest.reserved", author, "a variable is one that changes how scripts run", "use another name"},
		{
			"manifest.value", author,
			"a value does not fit its parameter's type, `enum` or `pattern`, or comparing the values with the " +
				"patterns takes too long", "correct one of the two",
		},
		{
			"manifest.pattern", author,
			"`pattern` is no RE2 expression, or the parameter no text, or it would be compiled to more than 10,000 " +
				"instructions, or those of the manifest to more than 100,000", "see the message; repeat less",
		},
		{
			"manifest.sensitive_size", author, "the values of sensitive parameters have more than 16 KB together",
			"keep long ones in the vault, under `secrets`",
		},
		{
			"manifest.undeclared", author, "a value or a step names a parameter or secret that is not declared",
			"declare it; see the suggestion",
		},
		{"manifest.duplicate_step", author, "two steps of a phase have one name", "rename one"},
		{
			"manifest.glob", author,
			"a pattern of files is malformed, or its braces stand for more than 64 patterns, or those of the " +
				"manifest for more than 1,000", "close its bracket, or write it with fewer braces",
		},
		{
			"manifest.version_range", author,
			"a range of versions is malformed, or has a number of more than 19 digits", "write `>=1.2, <2`",
		},
		{"manifest.step_missing", author, "the package has no file that a step names", "add it; see the suggestion"},
		{
			"manifest.more", author, "there are more than 100 problems; the rest is counted, not listed",
			"mend those that are listed, and validate again",
		},
		{
			"manifest.unknown_key", author, "the key is not of the contract",
			"see the suggestion; begin keys of your own with `x-`",
		},
		{
			"manifest.unsupported", author, "the key belongs to a feature that this version does not have",
			"remove it, or use an executor that has it",
		},
		{
			"manifest.evidence", author,
			"the result would be over 8 MB with the manifest and the parameters in it, or cannot be encoded; nothing " +
				"ran", "move large values into files of the package",
		},
		{
			"manifest.environment", author, "the package may not run in this environment",
			"upload it to one of its `environments`",
		},
		{
			"manifest.requires", authorByRecord,
			"a package that this one needs has not succeeded here, or in another version", "run that one first",
		},
	}},
	{"policy", []row{
		{
			"policy.unavailable", byCause,
			"the policy is set and missing, unreadable, invalid or for another environment; nothing ran",
			"mend the policy, or `CEMLI_POLICY`",
		},
		{
			"policy.require", author,
			"the manifest does not say what the policy requires, or nothing that people can see", "add it",
		},
		{
			"policy.type", author, "this kind of change may not run here",
			"upload it where it may, or have the policy changed",
		},
		{
			"policy.object_name", author, "the object has another name than the policy wants",
			"upload it under that name",
		},
		{"policy.prerelease", author, "the version is a prerelease", "release it"},
		{
			"policy.downgrade", authorByRecord, "the version is older than the one that succeeded last",
			"raise it; to go back on purpose, send a request with the object, `rollback_of` (the earlier run that is " +
				"to be applied again) and `reason`",
		},
		{
			"policy.reuse", authorByRecord, "the version began here with other contents",
			"raise it whenever the contents change",
		},
		{"policy.action", author, "this form of request may not ask for this", "ask in a way that may"},
		{"policy.network", author, "the package uses the network, or does not say", "declare it"},
		{
			"policy.runner", author, "packages may not name this runner here",
			"name one that the policy does, or none: then the package runs on the default",
		},
		{"policy.secret", author, "a Vault secret may not be used here", "use one that the policy names"},
		{
			"policy.embedded_secret", author, "a file holds what looks like a secret",
			"take it out, put it into the vault, and change it: it is known now",
		},
		{
			"policy.freeze", author, "nothing may be changed now",
			"come back when the message says; a rollback may pass with a `reference`",
		},
	}},
	{"trigger", []row{
		{"trigger.empty", asker, "nothing was sent", "send an event, or {\"object\":\"NAME.zip\"}"},
		{"trigger.too_large", asker, "more than 6 MB were sent", "send fewer items at once"},
		{
			"trigger.not_json", asker, "what was sent is not JSON in UTF-8, or more than one value",
			"check the text that was sent; a shell may have taken its quotes",
		},
		{"trigger.duplicate_key", asker, "a key occurs twice in one JSON object", "keep one of the two"},
		{"trigger.too_deep", asker, "the JSON is nested more than 64 deep", "send only the keys that a request has"},
		{
			"trigger.unknown_form", asker, "the JSON is neither an event, nor a request by hand, nor an array of these",
			"by hand, send {\"object\":\"NAME.zip\"}",
		},
		{"trigger.batch", asker, "an array has no items or more than 100", "send 1 to 100 items at once"},
		{
			"trigger.event", asker, "an event lacks an attribute, or has one that cannot be read",
			"compare it with an event of Object Storage, or of the service that the policy's `triggers` name",
		},
		{
			"trigger.event_version", asker,
			"an event says no version, or is neither of version 0.1 of OCI Events nor a CloudEvents 1.0 event",
			"send it as OCI does, or as a CloudEvent with \"specversion\":\"1.0\"",
		},
		{"trigger.incomplete", asker, "no bucket or no object is named", "name the object to run"},
		{
			"trigger.ambiguous", asker, "parts of an event name different objects, or it has its data twice",
			"send the event as its source made it",
		},
		{
			"trigger.object", author,
			"the object's name is empty, too long, or has empty, . or .. segments or control characters",
			"rename the object and upload it again",
		},
		{
			"trigger.bucket", asker,
			"the object is not in the packages bucket of the executor's namespace, or is in the results or state " +
				"bucket",
			"upload the package to the packages bucket; check the rule that sends these events",
		},
		{
			"trigger.unknown_key", asker, "a request by hand has a key that does not exist",
			"correct the key or leave it out",
		},
		{
			"trigger.unsupported", asker, "a request by hand has a key or an action that this version does not support",
			"leave it out, or use an executor that supports it",
		},
		{
			"trigger.value", asker,
			"a value is of the wrong type, too long, has control characters or breaks its key's rule",
			"correct the value",
		},
		{
			"trigger.action", asker, "action is a word that is not known",
			"use one of apply, dry_run, check, rollback, sweep, probe",
		},
		{
			"trigger.metadata", author, "a `opc-meta-cemli-…` key or its value is not known",
			"upload the object again with a right one",
		},
		{"trigger.parameter", asker, "a parameter's value has the wrong type, or is not allowed", "see the manifest"},
		{"trigger.parameter_unknown", asker, "the package has no such parameter", "see the suggestion"},
		{
			"trigger.parameter_missing", asker, "a required parameter has no value",
			"give it in the request or the manifest",
		},
		{"trigger.parameter_set", asker, "the package has no such parameter set", "name one that it has"},
		{
			"trigger.absent", asker,
			"the package that the policy's `triggers` name for this event is not in the packages bucket; nothing ran",
			"upload it, or correct the policy; then send a request by hand for what the event was to do",
		},
		{
			"trigger.stale", author,
			"the object was replaced or deleted before its run began, or a later upload of it has run; nothing ran",
			"what is there now has an event of its own; an older version runs by `version_id`",
		},
		{
			"trigger.subject", asker,
			"the call replaces the platform's headers, which say who signed it, by its own, and " +
				"`CEMLI_TRUST_SUBJECT` wants to know",
			"invoke the function without `Fn-Intent: httprequest`, and not by an API gateway",
		},
		{
			"trigger.role", asker,
			"a runner was sent something other than a job or a probe, or an executor was sent a job; nothing ran",
			"send events and requests to the executor; only an executor sends jobs, and to a function with " +
				"`CEMLI_ROLE=runner`",
		},
		{"trigger.busy", platform, "another call runs in the same process", "try again when it has ended"},
	}},
	{"request", []row{
		{
			"request.handover", passing,
			"the function could not ask for another invocation of itself, which is to go on with the request",
			"it is asked for again by the sweep; see the function's log",
		},
		{
			"request.internal", platform, "the executor failed in a way that has no other code",
			"see the function's log, and report it",
		},
		{
			"request.differs", asker,
			"a request that goes back to a run says something else than that run had: object, set, parameters or " +
				"contents; or that run is of another environment, or has applied nothing; or a `request_id` was " +
				"given before, for another version of the object",
			"leave it out, as everything is taken from the run that is named; or name the run that the message " +
				"names; or give another `request_id`",
		},
		{
			"request.more", author, "there are more problems than are listed; the rest is counted",
			"mend those that are listed, and ask again",
		},
		{
			"request.gone", asker,
			"the package, or an artifact, of the run that is named is nowhere any more, or is not what it was",
			"upload those bytes again under that name; for an artifact, find out who changed the results bucket",
		},
		{
			"request.hidden", asker, "a value of the run that is named was hidden, as a secret is, and is needed again",
			"give it in the request; for an output, run the package anew with rerun_of",
		},
		{
			"request.withheld", asker,
			"an artifact of the run that resume_from names was not kept, and the steps that are left may need it",
			"run the package anew, with rerun_of",
		},
		{
			"request.not_partial", askerByRecord,
			"the run that resume_from names did not end half way, or undo scripts of it have run: there is nothing " +
				"to go on with", "run the package anew, with rerun_of or a new upload",
		},
		{
			"request.unknown_run", asker, "there is no result of the run that is named, or it cannot be read",
			"name another run",
		},
		{
			"request.cancelled", cancelled, "somebody cancelled the run before anything of it was executed",
			"see who did, and why, in the result; to run it all the same, send rerun_of with a reason",
		},
		{
			"request.ended", asker, "the run that is to be cancelled has ended",
			"see its result; to undo what it did, send rollback with rollback_of",
		},
		{
			"request.undoing", asker,
			"the run that is to be cancelled is undoing what it did, or an earlier run, which is not stopped half way",
			"wait for its result",
		},
		{
			"request.altered", asker, "the result of the run that is named is not the one that the executor has stored",
			"find out who changed the results bucket, and go on by hand",
		},
	}},
	{"rollback", []row{
		{
			"rollback.not_latest", askerByRecord,
			"a later run of the same package and set is applied, or ended half way",
			"go back to that one first, or send force and a reason",
		},
		{
			"rollback.of_rollback", asker, "the run that is named was a rollback itself",
			"to apply again what it has undone, send rerun_of with the run that it undid",
		},
		{
			"rollback.undone", askerByRecord, "what the run that is named had done is undone already",
			"send rerun_of to apply it again",
		},
	}},
}
