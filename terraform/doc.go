// Package terraform holds the tests of the Terraform configuration in this folder: those that
// need Terraform run all of its own tests, the others read the files.
package terraform
