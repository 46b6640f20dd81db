package main

import "syscall"

// childAttributes makes the kernel kill a child whose parent is gone, and keeps
// the Ctrl-C of a terminal from the children, which are to be stopped in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
