package bundle

import "cemli-executor/internal/problem"

// Refusal is one reason to refuse an archive or a folder: the code of its problems,
// what causes them, and what to do about it.
type Refusal struct{ Code, Cause, Cure string }

// Refusals lists every code that this package gives, in the order in which the parts
// of a zip are looked at.
func Refusals() []Refusal { return append([]Refusal(nil), refusals...) }

// remake is the cure where the zip itself is wrong and not what is in it.
const remake = "make the zip again with an ordinary tool, or with cemli pack FOLDER, and check the upload"

var refusals = []Refusal{
	{"archive.empty", "the file has no bytes, or the zip has no entries", "make the zip again from inside the package's folder and check the upload"},
	{"archive.not_a_zip", "the file neither begins nor ends as a zip does", "upload a zip, made for instance with cemli pack FOLDER"},
	{"archive.truncated", "the zip is cut off: the record at its end is missing or incomplete", "check that the upload was complete, or make the zip again"},
	{"archive.leading_data", "there is something before the first entry, as in self-extracting zips", remake},
	{"archive.trailing_data", "there is something after the zip's end", remake},
	{"archive.two_ends", "the zip has a second end record, so that programs disagree about what is in it", remake},
	{"archive.multi_disk", "the zip is part of a set that was split", "join the parts first, or make the zip again in one piece"},
	{"archive.zip64", "the 64-bit records are missing, malformed or contradict the others", remake},
	{"archive.directory", "the zip's directory is malformed or not where the end record says", remake},
	{"archive.directory_too_large", "the zip's directory is larger than so many entries need", "make the zip again without comments and extra fields"},
	{"archive.too_many_entries", "there are more files and folders than allowed", "pack fewer files, or put them into one archive that a step unpacks"},
	{"archive.not_utf8", "a name is not UTF-8", "zip it with UTF-8 names: 7z a -mcu=on; in WinZip and WinRAR the option for Unicode names; or use cemli pack FOLDER"},
	{"archive.control_character", "a name has a NUL, control or bidirectional-control character", "rename the file"},
	{"archive.backslash", "a name has a backslash", "rename the file, or make the zip with a tool that separates folders by /"},
	{"archive.absolute_path", "a path begins with a slash or a drive", "make the zip from inside the package's folder"},
	{"archive.path_traversal", "a path has a .. segment", "make the zip from inside the package's folder"},
	{"archive.path_segment", "a path has an empty or . segment", "make the zip from inside the package's folder"},
	{"archive.name_too_long", "a path is longer than 1,024 bytes, or a segment of it longer than 255", "use shorter names"},
	{"archive.too_deep", "a path is more than 32 levels deep", "use fewer folders inside each other"},
	{"archive.reserved_name", "a name is .cemli in other letters, or .cemli is a file", "rename it: .cemli/ is the folder of signatures"},
	{"archive.duplicate", "a name occurs twice", "make the zip again without the second one"},
	{"archive.case_duplicate", "two names differ only in case or Unicode form, so that some systems take them for one", "rename one of them"},
	{"archive.file_and_folder", "a name is a file and a folder", "rename one of them"},
	{"archive.link", "an entry is a symbolic link, or may be one to some programs", "put the file itself there"},
	{"archive.special_file", "an entry is a device, FIFO, socket or other special file", "leave it out"},
	{"archive.mode", "a file's mode has setuid, setgid or sticky", "clear it with chmod a-s,-t, or make the zip with cemli pack FOLDER, which packs no modes"},
	{"archive.folder", "an entry is not clearly a file or a folder: name, mode and data disagree", remake},
	{"archive.encrypted", "an entry is encrypted", "make the zip without a password; secrets belong into the vault"},
	{"archive.method", "an entry is compressed by another method than deflate", "use store or deflate, the default of every tool"},
	{"archive.flags", "an entry has flags that are reserved or change how it is read", remake},
	{"archive.extra_field", "an entry's extra fields are malformed, or of a kind that changes what the entry is", "make the zip again with an ordinary tool; zip -X leaves extra fields out"},
	{"archive.renamed", "an extra field gives an entry another name", "rename the file, or make the zip where the locale is UTF-8"},
	{"archive.size", "an entry's sizes contradict each other, or are not those of its data", remake},
	{"archive.file_too_large", "a file is larger than allowed", "take it out of the package, or have a step fetch it"},
	{"archive.too_large", "all files together are larger than allowed", "take large files out of the package, or have a step fetch them"},
	{"archive.ratio", "the data is compressed more than ordinary files can be", "take large uniform files out, or have a step make them"},
	{"archive.overlap", "an entry's data runs into the next record, as in zip bombs", remake},
	{"archive.gap", "there are bytes between the entries that no entry owns, where something may hide", remake},
	{"archive.local_header", "an entry has no header where the directory says", remake},
	{"archive.header_mismatch", "an entry's own header contradicts the directory", remake},
	{"archive.descriptor", "the record after an entry's data is missing or contradicts the directory", remake},
	{"archive.data", "an entry's compressed data is malformed", remake},
	{"archive.crc", "an entry's data does not have the checksum that the zip gives", remake},
	{"archive.top_folder", "everything is in one folder, the package's own, instead of at the root", "pack the folder's contents: cd FOLDER && zip -r ../NAME.zip . (or cemli pack FOLDER)"},
	{"archive.more", "a problem occurs more than 100 times; the rest is counted, not listed", remake},
	{"archive.no_space", "there is no space left to extract to", "give the function more memory, a quarter of which is its /tmp, or take large files out of the package"},
}

// refusal makes the problem of a code about an entry; "" is the whole archive.
func refusal(code, name, message string) problem.Problem {
	p := problem.Problem{Code: code, Where: printable(name), Message: message}
	for _, r := range refusals {
		if r.Code == code {
			p.Hint = r.Cure
		}
	}
	return p
}
