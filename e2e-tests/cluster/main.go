// Command cluster is a real Kubernetes control plane in one binary, for the
// system tests: every program of it is a subcommand, and `cluster up` runs them
// together as processes of their own, the way a real cluster does. Two programs are
// its own: a registry, which is distribution's with logins that a fake cloud judges,
// and a node, which is a kubelet's way of pulling images and nothing else.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	if err := rootCommand().Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "cluster",
		Short: "A Kubernetes control plane in one binary, for system tests",
		Long: `A Kubernetes control plane in one binary, for system tests.

"cluster up" starts etcd, kube-apiserver and kube-controller-manager on free
ports of the loopback interface and writes a kubeconfig. On demand it also starts
a registry and a node that pulls from it. The other commands are the real
programs, with their own flags ("cluster kubectl --help").`,
		Example: `  # in one terminal
  cluster up --dir /tmp/cluster

  # in another
  cluster kubectl --kubeconfig /tmp/cluster/kubeconfig get namespaces`,
		// Errors are printed once, by main, and a part that died is no reason to
		// print how the command is used.
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	// Linking a Kubernetes program gives every command of the process a flag for the
	// version. Only the programs answer it.
	if version := pflag.Lookup("version"); version != nil {
		version.Hidden = true
	}
	root.AddCommand(upCommand())
	root.AddCommand(registryCommand(), nodeCommand())
	root.AddCommand(programCommands()...)
	return root
}
