package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// answer is the line that is printed when an order was carried out, or not.
type answer struct {
	Restarted string `json:"restarted,omitempty"` // the part
	PID       int    `json:"pid,omitempty"`       // of its new process
	Error     string `json:"error,omitempty"`
}

// errBadOrder is that an order cannot be understood. Nothing was done then.
var errBadOrder = errors.New(`the only order is "restart PART"`)

// watch returns nil when ctx ends, and an error when a part dies that nobody wanted
// to end. Meanwhile it carries out orders, and prints an answer to each.
func (c *cluster) watch(ctx context.Context, orders <-chan string, stdout io.Writer) error {
	died := make(chan *process)
	done := make(chan struct{})
	defer close(done)
	lookAfter := func(child *process) {
		<-child.exited
		select {
		case died <- child:
		case <-done:
		}
	}
	for _, child := range c.processes {
		go lookAfter(child)
	}
	for {
		select {
		case <-ctx.Done():
			c.say("stopping (%s)", context.Cause(ctx))
			return nil
		case child := <-died:
			// One that was restarted has another process by now.
			if slices.Contains(c.processes, child) {
				return child.died()
			}
		case order := <-orders:
			child, err := c.obey(ctx, order)
			if err != nil && !errors.Is(err, errBadOrder) {
				return err
			}
			said := answer{}
			if err != nil {
				said.Error = err.Error()
			} else {
				go lookAfter(child)
				said = answer{Restarted: child.part.name, PID: child.cmd.Process.Pid}
			}
			if err := json.NewEncoder(stdout).Encode(said); err != nil {
				return fmt.Errorf("answering the order %q: %w", order, err)
			}
		}
	}
}

// obey carries out an order, and returns the process that it started.
func (c *cluster) obey(ctx context.Context, order string) (*process, error) {
	words := strings.Fields(order)
	if len(words) != 2 || words[0] != "restart" {
		return nil, fmt.Errorf("%q: %w", order, errBadOrder)
	}
	index := slices.IndexFunc(c.processes, func(child *process) bool { return child.part.name == words[1] })
	if index < 0 {
		return nil, fmt.Errorf("%q: no part has this name: %w", order, errBadOrder)
	}
	return c.restart(ctx, index)
}

// restart kills a part as a crash would, without a word, and starts it again. The
// parts that talk to it go on, as they have to in a real cluster.
func (c *cluster) restart(ctx context.Context, index int) (*process, error) {
	began := time.Now()
	old := c.processes[index]
	old.kill()
	child, err := old.part.start()
	if err != nil {
		return nil, err
	}
	c.processes[index] = child
	if err := child.waitReady(ctx); err != nil {
		return nil, err
	}
	c.say("%-23s ready again in %s", child.part.name, seconds(began))
	return child, nil
}
