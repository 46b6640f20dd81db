package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// defaultNodeName is the Node's, unless a flag says otherwise.
const defaultNodeName = "node"

// register makes the Node, or takes over the one of that name.
func register(ctx context.Context, client kubernetes.Interface, name string) error {
	nodes := client.CoreV1().Nodes()
	wanted := nodeObject(name)
	_, err := nodes.Create(ctx, wanted, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the Node %s: %w", name, err)
	}
	// The API server taints a new Node as not ready; the controller that takes the
	// taint away does not run here.
	untainted := []byte(`{"spec":{"taints":null}}`)
	if _, err := nodes.Patch(ctx, name, types.MergePatchType, untainted, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("taking the taints from the Node %s: %w", name, err)
	}
	status, err := json.Marshal(map[string]any{"status": wanted.Status})
	if err != nil {
		return fmt.Errorf("encoding the status of the Node %s: %w", name, err)
	}
	if _, err := nodes.Patch(ctx, name, types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("reporting the Node %s as ready: %w", name, err)
	}
	return nil
}

// nodeObject is a Node that is ready and has room for every test.
func nodeObject(name string) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1000"),
		corev1.ResourceMemory:           resource.MustParse("1Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("100k"),
	}
	now := metav1.Now()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: runtime.GOARCH,
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    room,
			Allocatable: room,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: loopback},
				{Type: corev1.NodeHostName, Address: name},
			},
			Conditions: []corev1.NodeCondition{{
				Type:               corev1.NodeReady,
				Status:             corev1.ConditionTrue,
				Reason:             "KubeletReady",
				Message:            "images are pulled, and nothing is run",
				LastHeartbeatTime:  now,
				LastTransitionTime: now,
			}},
		},
	}
}
