package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// nodeOptions are the flags of `cluster node`.
type nodeOptions struct {
	kubeconfig string
	name       string
	hosts      []string
	backOff    backOffOptions
	// retryOnSecrets has a changed pull secret end the back-off.
	retryOnSecrets bool
}

func nodeCommand() *cobra.Command {
	var options nodeOptions
	command := &cobra.Command{
		Use:   nodeProgram + " --kubeconfig FILE",
		Short: "A node that pulls images as a kubelet does, and runs nothing",
		Long: `A node that pulls images as a kubelet does, and runs nothing.

It makes its Node, binds every Pod that has none, and looks after the Pods that
are bound to it. Their images are pulled by the kubelet's own image manager, with
its keyring, back-off, Events and messages: the pull secrets are read anew for
each attempt, each credential that matches is tried in turn, and only where none
matches is the pull anonymous. Every Pod pulls, as if it were the first one on a
new machine. Then it is Running, or its status says ErrImagePull or
ImagePullBackOff. A Pod that is deleted is gone at once.

Images come from loopback addresses, over HTTP, and from the hosts that --host
leads there. Nothing else is ever asked.`,
		Example: `  cluster node --kubeconfig /tmp/cluster/kubeconfig --pull-back-off 1s \
    --host example-registry.cn-hangzhou.cr.aliyuncs.com=127.0.0.1:5000 --host '*.aliyuncs.com=127.0.0.1:5001'`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runNode(ctx, options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.kubeconfig, "kubeconfig", "", "`file` that leads to the API server")
	flags.StringVar(&options.name, "name", defaultNodeName, "`name` of the Node")
	flags.StringArrayVar(&options.hosts, "host", nil, "where a registry's host name leads, as `name=address`; the name may have wildcards (*); may be repeated, the first that matches counts")
	options.backOff.addTo(flags)
	flags.BoolVar(&options.retryOnSecrets, "retry-on-secret-change", false, "pull again when a pull secret changes; a kubelet waits until its back-off ends")
	return command
}

// runNode is a node until ctx ends.
func runNode(ctx context.Context, options nodeOptions) error {
	if options.kubeconfig == "" {
		return errors.New("--kubeconfig is missing: name the file that leads to the API server")
	}
	if err := options.backOff.check(); err != nil {
		return err
	}
	hosts, err := parseHosts(options.hosts)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", options.kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	// The defaults of 5 and 10 a second are made for sharing an API server.
	config.QPS, config.Burst = 500, 1000
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := register(ctx, client, options.name); err != nil {
		return err
	}
	fmt.Printf("node %s is registered\n", options.name)
	return newNode(client, options, hosts.transport()).run(ctx)
}
