package main

import (
	"testing"

	"k8s.io/apiserver/pkg/util/compatibility"
)

func TestVersionIsTheReleaseAndNotAPlaceholder(t *testing.T) {
	info := releasedVersion{compatibility.DefaultBuildEffectiveVersion(), "v1.36.3"}.Info()
	if info.GitVersion != "v1.36.3" || info.Major != "1" || info.Minor != "36" || info.GitCommit != "" {
		t.Errorf("got %+v", info)
	}
}
