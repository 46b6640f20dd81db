package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	readyTimeout  = 60 * time.Second
	readyInterval = 100 * time.Millisecond
	// stopTimeout is how long a part has after SIGTERM, before SIGKILL.
	stopTimeout = 5 * time.Second
	// tailLines is how much of its log is shown when a part fails.
	tailLines = 20
)

// A part is one program of a cluster as a value: all that is needed to start it,
// and to start it once more in the same way.
type part struct {
	name string   // of the program, a subcommand of this binary
	args []string // its flags
	log  string   // the file that gets what it prints; appended to
	// ready returns nil when the part does its work, and otherwise why not. It is
	// asked again and again, and may fail for reasons that go away.
	ready func(context.Context) error
}

// A process is a part that was started.
type process struct {
	part   part
	cmd    *exec.Cmd
	exited chan struct{} // closed when it ended
	err    error         // how it ended; valid once exited is closed
}

// start runs the part as a child of this process. The child dies with it, even
// when this process is killed (on Linux).
func (p part) start() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", p.name, err)
	}
	defer log.Close()

	cmd := exec.Command(self, append([]string{p.name}, p.args...)...)
	cmd.Stdout = log
	cmd.Stderr = log
	cmd.SysProcAttr = childAttributes()

	child := &process{part: p, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux sends the parent-death signal when the *thread* that started the
		// child ends. This goroutine holds on to its thread for the child's life.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			child.err = cmd.Wait()
			close(child.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	return child, nil
}

// waitReady returns when the part is ready. The error shows the end of the
// part's log, unless it was ctx that ended.
func (p *process) waitReady(ctx context.Context) error {
	deadline := time.NewTimer(readyTimeout)
	defer deadline.Stop()
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		err := p.askReady(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped while waiting for %s: %w", p.part.name, context.Cause(ctx))
		case <-p.exited:
			return p.died()
		case <-deadline.C:
			return fmt.Errorf("%s is not ready after %s: %w%s", p.part.name, readyTimeout, err, p.tail())
		case <-ticker.C:
		}
	}
}

// askReady asks once; an answer that takes long is as good as none.
func (p *process) askReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return p.part.ready(ctx)
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// died is the error for a part that ended on its own.
func (p *process) died() error {
	how := p.err
	if how == nil {
		how = errors.New("exit status 0")
	}
	return fmt.Errorf("%s died: %w%s", p.part.name, how, p.tail())
}

// tail is the end of the part's log, as the end of an error message. What a Go
// program that panics prints of its goroutines would hide why it did.
func (p *process) tail() string {
	text, err := os.ReadFile(p.part.log)
	if err != nil {
		return fmt.Sprintf("\n(its log cannot be read: %v)", err)
	}
	before, _, _ := strings.Cut(string(text), "\n\ngoroutine ")
	return fmt.Sprintf("\nThe end of %s:\n%s", p.part.log, lastLines(before, tailLines))
}

// stop ends the part, kindly at first, and returns when it is gone.
func (p *process) stop() {
	// An error means that it has ended already, or that there are no signals on
	// this system. Either way the select below does the right thing.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.kill()
	}
}

// kill ends the part without giving it time to tidy up, and returns when it is gone.
func (p *process) kill() {
	// An error means that it has ended already.
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// lastLines returns the last n lines of text, without a newline at the end.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
