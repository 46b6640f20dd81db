package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// staysVariable makes TestStay stay.
const staysVariable = "CLUSTER_TEST_STAYS"

// TestStay is no test, but what a part of a test cluster runs: part.start runs this
// very binary, whose first argument says what to do.
func TestStay(t *testing.T) {
	if os.Getenv(staysVariable) == "" {
		return
	}
	time.Sleep(time.Hour)
}

// clusterOfTwo runs two parts that do nothing. Its answers can be read from what is
// returned.
func clusterOfTwo(t *testing.T) *cluster {
	t.Setenv(staysVariable, "yes")
	c := &cluster{progress: io.Discard}
	t.Cleanup(func() {
		for _, child := range c.processes {
			child.kill()
		}
	})
	for _, log := range []string{"one", "other"} {
		p := part{
			// With a name of its own for each, of which the first decides nothing.
			name:  "-test.run=^TestStay$|" + log,
			log:   filepath.Join(t.TempDir(), log),
			ready: func(context.Context) error { return nil },
		}
		if err := c.add(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestAPartIsRestartedAndTheOthersStay(t *testing.T) {
	c := clusterOfTwo(t)
	one, other := c.processes[0], c.processes[1]
	ctx, cancel := context.WithCancel(t.Context())
	orders, ended := make(chan string), make(chan error)
	answers, stdout := io.Pipe()
	go func() { ended <- c.watch(ctx, orders, stdout) }()
	lines := bufio.NewScanner(answers)
	// Twice: what was restarted can be restarted.
	for range 2 {
		before := c.processes[0]
		orders <- "restart " + one.part.name
		lines.Scan()
		var said answer
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
		if said.Error != "" || said.Restarted != one.part.name || said.PID == before.cmd.Process.Pid {
			t.Errorf("the answer is %+v", said)
		}
		if !before.ended() {
			t.Error("the old process is there still")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the cluster ended with %v", err)
	}
	if c.processes[0].ended() || other.ended() || c.processes[1] != other {
		t.Error("a part is gone that should be there")
	}
}

func TestAPartThatDiesAfterARestartEndsTheCluster(t *testing.T) {
	c := clusterOfTwo(t)
	orders, ended := make(chan string), make(chan error)
	answers, stdout := io.Pipe()
	go func() { ended <- c.watch(t.Context(), orders, stdout) }()
	orders <- "restart " + c.processes[1].part.name
	bufio.NewScanner(answers).Scan()
	if err := c.processes[1].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "|other died: signal: terminated") {
		t.Errorf("the cluster ended with %v", err)
	}
}

func TestAnOrderThatCannotBeUnderstoodIsAnsweredAndDoesNothing(t *testing.T) {
	c := &cluster{progress: io.Discard}
	for order, want := range map[string]string{
		"":                  `the only order is "restart PART"`,
		"stop etcd":         `the only order is "restart PART"`,
		"restart":           `the only order is "restart PART"`,
		"restart scheduler": "no part has this name",
	} {
		orders := make(chan string, 1)
		orders <- order
		ctx, cancel := context.WithCancel(t.Context())
		answers, stdout := io.Pipe()
		go func() {
			_ = c.watch(ctx, orders, stdout)
			stdout.Close()
		}()
		lines := bufio.NewScanner(answers)
		lines.Scan()
		cancel()
		var said answer
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.Error, want) {
			t.Errorf("%q is answered with %+v", order, said)
		}
	}
}
