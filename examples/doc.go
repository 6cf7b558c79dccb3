// Package examples holds packages to copy, one folder each; its tests run them.
package examples
