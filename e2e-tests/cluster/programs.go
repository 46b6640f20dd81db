package main

import (
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// The names of the programs, ours last, which are also the names of the parts of a
// cluster, of their subcommands and of their log files.
const (
	etcd                  = "etcd"
	kubeAPIServer         = "kube-apiserver"
	kubeControllerManager = "kube-controller-manager"
	registryProgram       = "registry"
	nodeProgram           = "node"
)

// programCommands are the real programs that are linked into this binary.
//
// Each is made inside its own function and not before: the Kubernetes programs
// share process-wide registries (feature gates, versions, signal handlers) and
// may only be constructed once, and one of them, per process.
func programCommands() []*cobra.Command {
	return []*cobra.Command{
		programCommand(etcd, "The key-value store", func() error {
			// etcd takes up two of these (of 64 MB) before anything is stored, which fills
			// a disk when many clusters run at once.
			wal.SegmentSizeBytes = 8 << 20
			etcdmain.Main(os.Args)
			return nil
		}),
		programCommand(kubeAPIServer, "The API server", func() error {
			if err := announceVersion(); err != nil {
				return err
			}
			os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
			return nil
		}),
		programCommand(kubeControllerManager, "The controllers", func() error {
			os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
			return nil
		}),
		programCommand("kubectl", "The command-line client", func() error {
			// kubectl logs before its flags are parsed (plugins, kuberc).
			if _, err := logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)); err != nil {
				return err
			}
			kubectlutil.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()))
			return nil
		}),
	}
}

// programCommand wraps a program, which reads its own flags from os.Args.
func programCommand(name, short string, run func() error) *cobra.Command {
	return &cobra.Command{
		Use:                   name + " [FLAGS…]",
		Short:                 short,
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			os.Args = append([]string{name}, args...)
			return run()
		},
	}
}
