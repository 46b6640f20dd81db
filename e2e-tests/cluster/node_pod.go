package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	"k8s.io/kubernetes/pkg/kubelet/events"
	podutil "k8s.io/kubernetes/pkg/util/pod"
)

// lookAfter pulls the images that a Pod lacks, once, and reports how that went. It
// returns after what time to try again, or zero when the Pod has all of them.
func (n *node) lookAfter(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	n.endBackOff(pod)
	// Read once for all containers, and not at all for a Pod that has its images.
	secrets := sync.OnceValue(func() []corev1.Secret { return n.pullSecrets(ctx, pod) })
	pull := func(container *corev1.Container) (string, *corev1.ContainerStateWaiting) {
		return n.pull(ctx, pod, container, secrets())
	}
	after, complete := nextStatus(pod, pull, metav1.Now())
	if ctx.Err() != nil {
		// What was cut short says nothing about the images.
		return 0, nil
	}
	_, _, _, err := podutil.PatchPodStatus(ctx, n.client, pod.Namespace, pod.Name, pod.UID, pod.Status, after)
	switch {
	case err != nil:
		return 0, ignoreGone(fmt.Errorf("reporting its status: %w", err))
	case complete:
		return 0, nil
	default:
		return n.options.backOff.nextLook(), nil
	}
}

// pullSecrets are the pull secrets of a Pod that can be read, in its order. As in the
// kubelet, the others are no reason not to try.
func (n *node) pullSecrets(ctx context.Context, pod *corev1.Pod) []corev1.Secret {
	var found []corev1.Secret
	var missing []string
	for _, reference := range pod.Spec.ImagePullSecrets {
		if reference.Name == "" {
			continue
		}
		secret, err := n.client.CoreV1().Secrets(pod.Namespace).Get(ctx, reference.Name, metav1.GetOptions{})
		if err != nil {
			fmt.Printf("pod %s/%s: reading a pull secret: %v\n", pod.Namespace, pod.Name, err)
			missing = append(missing, reference.Name)
			continue
		}
		found = append(found, *secret)
	}
	if len(missing) > 0 {
		n.kubelet.Eventf(pod, corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", strings.Join(missing, ", "))
	}
	return found
}

// pull pulls the image of one container, unless a back-off keeps it from that. It
// returns the image's reference, or what the container waits for.
func (n *node) pull(ctx context.Context, pod *corev1.Pod, container *corev1.Container, secrets []corev1.Secret) (string, *corev1.ContainerStateWaiting) {
	reference, err := kubecontainer.GenerateContainerRef(pod, container)
	if err != nil {
		return "", &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: err.Error()}
	}
	sandbox := &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{
		Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID),
	}}
	image, message, err := n.images.EnsureImageExists(ctx, reference, pod, container.Image, secrets, sandbox, "", container.ImagePullPolicy)
	if err != nil {
		n.kubelet.Eventf(reference, corev1.EventTypeWarning, events.FailedToCreateContainer, "Error: %v", err)
		return "", &corev1.ContainerStateWaiting{Reason: err.Error(), Message: message}
	}
	return image, nil
}
