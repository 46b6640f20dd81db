package main

import (
	"errors"
	"fmt"
	"runtime/debug"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	basecompatibility "k8s.io/component-base/compatibility"
)

// announceVersion makes the API server answer /version with the release that
// go.mod names.
//
// Kubernetes has its version stamped in by its own build scripts. Linked as a
// library it calls itself v0.0.0-master, which the kubeVersion of a Helm chart
// refuses. What the server does is not affected: feature gates follow a constant
// of the source, not the stamp.
func announceVersion() error {
	release, err := kubernetesRelease()
	if err != nil {
		return fmt.Errorf("finding out the version of Kubernetes: %w", err)
	}
	registry := compatibility.DefaultComponentGlobalsRegistry
	registry.Reset()
	err = registry.Register(
		basecompatibility.DefaultKubeComponent,
		releasedVersion{compatibility.DefaultBuildEffectiveVersion(), release},
		utilfeature.DefaultMutableFeatureGate,
	)
	if err != nil {
		return fmt.Errorf("setting the version of Kubernetes: %w", err)
	}
	return nil
}

// kubernetesRelease is the version of k8s.io/kubernetes this binary was built
// from, such as v1.36.3.
func kubernetesRelease() (string, error) {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "", errors.New("the binary was built without module information")
	}
	for _, module := range build.Deps {
		if module.Path == "k8s.io/kubernetes" {
			return module.Version, nil
		}
	}
	return "", errors.New("the binary was built without k8s.io/kubernetes")
}

// releasedVersion is a version of Kubernetes that knows its release.
type releasedVersion struct {
	basecompatibility.MutableEffectiveVersion
	release string
}

// Info is what /version answers.
func (v releasedVersion) Info() *apimachineryversion.Info {
	info := v.MutableEffectiveVersion.Info()
	info.GitVersion = v.release
	info.GitCommit = ""
	return info
}
