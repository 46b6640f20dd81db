package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// seed pushes an image under each of these names to the registry at address.
func seed(ctx context.Context, address string, images []string) error {
	login := &authn.Basic{Username: seederName, Password: seederPassword}
	for _, image := range images {
		reference, err := name.NewTag(address+"/"+image, name.Insecure, name.StrictValidation)
		if err != nil {
			return fmt.Errorf("image %s: %w", image, err)
		}
		content, err := tinyImage(image)
		if err != nil {
			return fmt.Errorf("making image %s: %w", image, err)
		}
		if err := remote.Write(reference, content, remote.WithAuth(login), remote.WithContext(ctx)); err != nil {
			return fmt.Errorf("pushing image %s: %w", image, err)
		}
	}
	return nil
}

// tinyImage is an image with one layer, which holds one file, which holds label: so
// that no two images are the same.
func tinyImage(label string) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return oneFile("label", label) })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	return mutate.ConfigFile(image, config)
}

// oneFile is a tar archive.
func oneFile(name, content string) (io.ReadCloser, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(writer, content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return io.NopCloser(&archive), nil
}

// repositories are those of images such as `team/web:1`.
func repositories(images []string) ([]string, error) {
	found := make([]string, 0, len(images))
	for _, image := range images {
		repository, tag, tagged := strings.Cut(image, ":")
		if !tagged || repository == "" || tag == "" {
			return nil, fmt.Errorf("image %q: write it as repository:tag", image)
		}
		found = append(found, repository)
	}
	return found, nil
}
