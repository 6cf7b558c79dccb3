// Package scripts holds the tests of scripts in this folder that need more than a few lines, with what stands in there
// for the programs that they call.
package scripts
