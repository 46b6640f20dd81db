package main

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/cache"
)

// watchSecrets has each change of a pull secret end the back-off of the Pods that name
// it. No kubelet does that; tests that are about something else save time by it.
func (n *node) watchSecrets() error {
	secrets := n.informer.Core().V1().Secrets().Informer()
	// Only names are of use here.
	err := secrets.SetTransform(func(object any) (any, error) {
		if secret, ok := object.(*corev1.Secret); ok {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: secret.Namespace, Name: secret.Name, ResourceVersion: secret.ResourceVersion,
			}}, nil
		}
		return object, nil
	})
	if err != nil {
		return fmt.Errorf("watching Secrets: %w", err)
	}
	_, err = secrets.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(secret any) { n.retryPodsWith(secret.(*corev1.Secret)) },
		UpdateFunc: func(_, secret any) { n.retryPodsWith(secret.(*corev1.Secret)) },
	})
	if err != nil {
		return fmt.Errorf("watching Secrets: %w", err)
	}
	return nil
}

// retryPodsWith has the Pods that name this pull secret pull again.
func (n *node) retryPodsWith(secret *corev1.Secret) {
	pods, err := n.pods.Pods(secret.Namespace).List(labels.Everything())
	if err != nil {
		utilruntime.HandleError(err)
		return
	}
	reference := corev1.LocalObjectReference{Name: secret.Name}
	for _, pod := range pods {
		if pod.Status.Phase != corev1.PodPending || !slices.Contains(pod.Spec.ImagePullSecrets, reference) {
			continue
		}
		// Noted here and acted on by whoever looks after the Pod: an attempt with the old
		// secret may be under way, and begin a back-off when it fails.
		n.impatient.Store(pod.UID, true)
		n.enqueue(pod)
	}
}

// endBackOff ends the back-off of a Pod whose pull secret has changed.
func (n *node) endBackOff(pod *corev1.Pod) {
	if _, changed := n.impatient.LoadAndDelete(pod.UID); !changed {
		return
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		// The key is the image manager's.
		n.backOff.Reset(fmt.Sprintf("%s_%s", pod.UID, container.Image))
	}
}
