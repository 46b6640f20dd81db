//go:build !linux

package main

import "syscall"

// childAttributes has nothing to ask for: only Linux can tie a child's life to
// its parent's. Here a killed `cluster up` leaves its children behind.
func childAttributes() *syscall.SysProcAttr {
	return nil
}
