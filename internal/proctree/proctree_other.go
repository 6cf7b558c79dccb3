//go:build !linux

package proctree
