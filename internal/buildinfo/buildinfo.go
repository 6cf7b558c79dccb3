// Package buildinfo tells which build of the executor this is.
package buildinfo

import "runtime/debug"

// The linker sets Version and Commit (-X) in released binaries, and Image, the name and tag under which an image was
// built, in the binary in that image. An image cannot know its own digest.
var (
	Version = ""
	Commit  = ""
	Image   = ""
)

// String returns the version, and the commit where it is known: "1.2.3 (0123abcd)".
// A build that was not stamped is "devel".
func String() string {
	version, commit := Version, Commit
	if version == "" {
		version = "devel"
	}
	if commit == "" {
		commit = fromVCS()
	}
	if commit == "" {
		return version
	}
	return version + " (" + commit[:min(len(commit), 12)] + ")"
}

// fromVCS is the commit that the go command recorded, if it did.
func fromVCS() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return ""
}
