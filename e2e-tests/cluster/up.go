package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// upOptions are the flags of `cluster up`.
type upOptions struct {
	dir            string
	apiServerFlags []string
	keep           bool

	// registryCloud is the URL of the fake cloud; without it there is no registry.
	registryCloud string
	images        []string
	publicImages  []string

	// node is whether there is a node.
	node           bool
	hosts          []string
	backOff        backOffOptions
	retryOnSecrets bool
}

// summary is the line `cluster up` prints when the cluster is ready.
type summary struct {
	Kubeconfig string         `json:"kubeconfig"`
	Server     string         `json:"server"`
	CAFile     string         `json:"caFile"`
	Dir        string         `json:"dir"`
	Registry   string         `json:"registry,omitempty"` // what begins the names of its images
	Node       string         `json:"node,omitempty"`
	PIDs       map[string]int `json:"pids"`
}

func upCommand() *cobra.Command {
	var options upOptions
	command := &cobra.Command{
		Use:   "up --dir DIR",
		Short: "Start a cluster and run it until told to stop",
		Long: `Start a cluster and run it until told to stop.

Starts etcd, kube-apiserver and kube-controller-manager on free ports of the
loopback interface, with RBAC. DIR holds the kubeconfig, one log file for each
part, and their data. On demand there are also a registry, whose logins the fake
cloud judges, and a node, which pulls the images of Pods as a kubelet does:
"cluster registry --help" and "cluster node --help" say more.

When the cluster is ready, one line of JSON on standard output says where it is:

  {"kubeconfig":"…","server":"https://127.0.0.1:…","caFile":"…","dir":"…",
   "registry":"127.0.0.1:…","node":"node","pids":{"etcd":…}}

A line "restart PART" on standard input kills a part, as a crash would, and
starts it again; "restart kube-apiserver", for example. When it is ready, one line
of JSON on standard output says so: {"restarted":"kube-apiserver","pid":…}.

It runs until standard input ends, or until SIGTERM or Ctrl-C. Then the parts are
stopped and DIR is removed. If a part fails, the end of its log is shown, the
exit code is 1, and DIR is left for a closer look.`,
		Example: `  # from a terminal, until Ctrl-C
  cluster up --dir /tmp/cluster

  # in the background of a script, until the script ends, however it ends
  tail --pid=$$ -f /dev/null | cluster up --dir /tmp/cluster > /tmp/cluster.json &

  # with an admission plugin more, and keeping the logs
  cluster up --dir /tmp/cluster --keep --apiserver-flag enable-admission-plugins=AlwaysPullImages

  # with a node, and a registry that stands for all of Alibaba Cloud's
  cluster up --dir /tmp/cluster --node --pull-back-off 1s \
    --registry-cloud http://127.0.0.1:8080 --image team/web:1 --host '*.aliyuncs.com'`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := options.check(); err != nil {
				return err
			}
			ctx, orders := untilTold(command.Context(), command.InOrStdin())
			return up(ctx, options, orders, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.dir, "dir", "", "directory for everything of the cluster; must be empty or not exist")
	flags.StringArrayVar(&options.apiServerFlags, "apiserver-flag", nil, "a flag more for kube-apiserver, as `name=value`; may be repeated; wins over ours, a list is added to ours")
	flags.BoolVar(&options.keep, "keep", false, "leave DIR when the cluster stops")
	flags.StringVar(&options.registryCloud, "registry-cloud", "", "start a registry whose logins are judged by the fake cloud at `URL`")
	flags.StringArrayVar(&options.images, "image", nil, "an image in the registry, as `repository:tag`; may be repeated")
	flags.StringArrayVar(&options.publicImages, "public-image", nil, "the same, for a `repository:tag` that everybody may pull; may be repeated")
	flags.BoolVar(&options.node, "node", false, "start a node")
	flags.StringArrayVar(&options.hosts, "host", nil, "a registry's host name that the node finds here, as `name[=address]`; the name may have wildcards (*), the address is the registry's if not given; may be repeated, the first that matches counts")
	options.backOff.addTo(flags)
	flags.BoolVar(&options.retryOnSecrets, "retry-on-secret-change", false, "have the node pull again when a pull secret changes; a kubelet waits until its back-off ends")
	return command
}

// check finds flags that do not go together, before anything is started.
func (o upOptions) check() error {
	if o.registryCloud == "" && len(o.images)+len(o.publicImages) > 0 {
		return errors.New("--image needs a registry: add --registry-cloud URL")
	}
	if !o.node && len(o.hosts) > 0 {
		return errors.New("--host needs a node: add --node")
	}
	for _, host := range o.hosts {
		if o.registryCloud == "" && !strings.Contains(host, "=") {
			return fmt.Errorf("--host %s: there is no registry it could lead to: add =ADDRESS, or --registry-cloud URL", host)
		}
	}
	return o.backOff.check()
}

// untilTold returns a context that lasts until standard input ends or a signal
// asks to stop; its cause says which. Whoever starts `cluster up` holds the other
// end of standard input, which is closed when they die, however they die. The lines
// that come until then are passed on.
func untilTold(parent context.Context, stdin io.Reader) (context.Context, <-chan string) {
	ctx, cancel := context.WithCancelCause(parent)
	// Progress is still reported to a reader that is gone; that must not be the
	// death of us before the parts are stopped.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	orders := make(chan string)
	go func() {
		cancel(fmt.Errorf("signal: %s", <-signals))
	}()
	go func() {
		for lines := bufio.NewScanner(stdin); lines.Scan(); {
			select {
			case orders <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
		cancel(errors.New("standard input ended"))
	}()
	return ctx, orders
}

// up runs a cluster until ctx ends, and carries out orders. Once the cluster is
// ready, the end of ctx is the one way to end without an error.
func up(ctx context.Context, options upOptions, orders <-chan string, stdout, progress io.Writer) error {
	if options.dir == "" {
		return errors.New("--dir is missing: name an empty directory, or one to make")
	}
	dir, err := filepath.Abs(options.dir)
	if err != nil {
		return fmt.Errorf("finding %s: %w", options.dir, err)
	}
	if err := claim(dir); err != nil {
		return err
	}
	c := &cluster{options: options, files: newLayout(dir), users: newCredentials(), progress: progress}
	err = c.run(ctx, orders, stdout)
	failed := err != nil && ctx.Err() == nil
	c.stop()
	if failed {
		return fmt.Errorf("%w\nEverything is left in %s", err, dir)
	}
	if options.keep {
		return err
	}
	if removeErr := os.RemoveAll(dir); removeErr != nil {
		return errors.Join(err, fmt.Errorf("removing the data: %w", removeErr))
	}
	return err
}

// claim makes dir, which must not hold anything: it is removed in the end, and two
// clusters in one directory would ruin each other.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory for the cluster: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the directory for the cluster: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty (it has %s): remove it, or choose another --dir", dir, entries[0].Name())
	}
	return nil
}

// A cluster is what runs, and where.
type cluster struct {
	options   upOptions
	files     layout
	ports     ports
	users     credentials
	processes []*process // in the order of their start
	progress  io.Writer
}

// run starts the cluster, prints its summary and watches over it until ctx ends or
// a part does. It leaves the processes for stop.
func (c *cluster) run(ctx context.Context, orders <-chan string, stdout io.Writer) error {
	began := time.Now()
	if err := c.start(ctx); err != nil {
		return err
	}
	c.say("ready in %s: %s", seconds(began), c.files.kubeconfig)
	if err := json.NewEncoder(stdout).Encode(c.summary()); err != nil {
		return fmt.Errorf("printing where the cluster is: %w", err)
	}
	return c.watch(ctx, orders, stdout)
}

// start starts the parts one after the other, each when the one before is ready.
func (c *cluster) start(ctx context.Context) error {
	var err error
	if c.ports, err = freePorts(); err != nil {
		return err
	}
	if err := writeSecrets(c.files, c.users); err != nil {
		return err
	}
	if err := c.add(ctx, etcdPart(c.files, c.ports)); err != nil {
		return err
	}
	if err := c.add(ctx, apiServerPart(c.files, c.ports, c.users.admin, c.options.apiServerFlags)); err != nil {
		return err
	}
	err = writeKubeconfig(c.files.controllerManagerKubeconfig, c.files, c.ports, controllerManagerUser, c.users.controllerManager)
	if err != nil {
		return err
	}
	if err := c.add(ctx, controllerManagerPart(c.files, c.ports, c.users.admin)); err != nil {
		return err
	}
	if err := c.startOnDemand(ctx); err != nil {
		return err
	}
	return writeKubeconfig(c.files.kubeconfig, c.files, c.ports, adminUser, c.users.admin)
}

// startOnDemand starts the parts that not every cluster has.
func (c *cluster) startOnDemand(ctx context.Context) error {
	if c.options.registryCloud != "" {
		if err := c.add(ctx, registryPart(c.files, c.ports, c.options)); err != nil {
			return err
		}
	}
	if !c.options.node {
		return nil
	}
	if err := writeKubeconfig(c.files.nodeKubeconfig, c.files, c.ports, nodeUser, c.users.node); err != nil {
		return err
	}
	return c.add(ctx, nodePart(c.files, c.ports, c.users.admin, c.options))
}

// add starts a part and waits until it is ready.
func (c *cluster) add(ctx context.Context, p part) error {
	began := time.Now()
	child, err := p.start()
	if err != nil {
		return err
	}
	c.processes = append(c.processes, child)
	if err := child.waitReady(ctx); err != nil {
		return err
	}
	c.say("%-23s ready in %s", p.name, seconds(began))
	return nil
}

// stop stops the parts that still run, the last one first: a controller without an
// API server would fill its log with complaints.
func (c *cluster) stop() {
	for _, child := range slices.Backward(c.processes) {
		if child.ended() {
			continue
		}
		began := time.Now()
		child.stop()
		c.say("%-23s stopped in %s", child.part.name, seconds(began))
	}
}

func (c *cluster) summary() summary {
	pids := make(map[string]int, len(c.processes))
	for _, child := range c.processes {
		pids[child.part.name] = child.cmd.Process.Pid
	}
	found := summary{
		Kubeconfig: c.files.kubeconfig,
		Server:     c.ports.server(),
		CAFile:     c.files.ca,
		Dir:        c.files.dir,
		PIDs:       pids,
	}
	if c.options.registryCloud != "" {
		found.Registry = c.ports.registryAddress()
	}
	if c.options.node {
		found.Node = defaultNodeName
	}
	return found
}

// say tells the person who waits how it goes.
func (c *cluster) say(format string, args ...any) {
	fmt.Fprintf(c.progress, format+"\n", args...)
}

func seconds(since time.Time) string {
	return fmt.Sprintf("%.1fs", time.Since(since).Seconds())
}
