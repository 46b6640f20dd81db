package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pullsExcept pulls every image but these, and notes the containers it was called for.
func pullsExcept(asked *[]string, missing ...string) puller {
	return func(container *corev1.Container) (string, *corev1.ContainerStateWaiting) {
		*asked = append(*asked, container.Name)
		if slices.Contains(missing, container.Image) {
			return "", &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "missing"}
		}
		return container.Image + "@sha256:0", nil
	}
}

// states is a line such as `web=running db=ErrImagePull`.
func states(all []corev1.ContainerStatus) string {
	var words []string
	for _, one := range all {
		state := "running"
		switch {
		case one.State.Waiting != nil:
			state = one.State.Waiting.Reason
		case one.State.Terminated != nil:
			state = one.State.Terminated.Reason
		}
		words = append(words, one.Name+"="+state)
	}
	return strings.Join(words, " ")
}

func condition(status corev1.PodStatus, kind corev1.PodConditionType) corev1.PodCondition {
	for _, one := range status.Conditions {
		if one.Type == kind {
			return one
		}
	}
	return corev1.PodCondition{}
}

func podOf(inits, containers []string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Generation: 3}}
	for _, name := range inits {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: name, Image: name})
	}
	for _, name := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name, Image: name})
	}
	return pod
}

func TestAPodWithAllItsImagesRuns(t *testing.T) {
	var asked []string
	now := metav1.Now()
	status, complete := nextStatus(podOf([]string{"init"}, []string{"web", "db"}), pullsExcept(&asked), now)
	if !complete || status.Phase != corev1.PodRunning || status.ObservedGeneration != 3 {
		t.Errorf("complete: %t, %+v", complete, status)
	}
	if got := states(status.InitContainerStatuses) + " " + states(status.ContainerStatuses); got != "init=Completed web=running db=running" {
		t.Error(got)
	}
	if image := status.ContainerStatuses[0].ImageID; image != "web@sha256:0" {
		t.Errorf("the image's id is %s", image)
	}
	if ready := condition(status, corev1.PodReady); ready.Status != corev1.ConditionTrue || !ready.LastTransitionTime.Equal(&now) {
		t.Errorf("got %+v", ready)
	}
}

func TestOneMissingImageKeepsThePodPendingAndTheOthersRun(t *testing.T) {
	var asked []string
	pod := podOf(nil, []string{"web", "db"})
	first, complete := nextStatus(pod, pullsExcept(&asked, "web"), metav1.Now())
	if got := states(first.ContainerStatuses); complete || first.Phase != corev1.PodPending || got != "web=ErrImagePull db=running" {
		t.Errorf("complete: %t, %s, %s", complete, first.Phase, got)
	}
	if ready := condition(first, corev1.PodReady); ready.Status != corev1.ConditionFalse || !strings.Contains(ready.Message, "web") {
		t.Errorf("got %+v", ready)
	}

	pod.Status, asked = first, nil
	second, complete := nextStatus(pod, pullsExcept(&asked), metav1.NewTime(time.Now().Add(time.Hour)))
	if !complete || !slices.Equal(asked, []string{"web"}) {
		t.Errorf("complete: %t, pulled again: %q", complete, asked)
	}
	initialized := condition(second, corev1.PodInitialized)
	if before := condition(first, corev1.PodInitialized); !initialized.LastTransitionTime.Equal(&before.LastTransitionTime) {
		t.Error("the time of a condition that did not change has changed")
	}
}

func TestContainersWaitForTheInitContainersBeforeThem(t *testing.T) {
	var asked []string
	pod := podOf([]string{"one", "two", "three"}, []string{"web"})
	status, complete := nextStatus(pod, pullsExcept(&asked, "two"), metav1.Now())
	got := states(status.InitContainerStatuses) + " " + states(status.ContainerStatuses)
	if complete || got != "one=Completed two=ErrImagePull three=PodInitializing web=PodInitializing" {
		t.Errorf("complete: %t, %s", complete, got)
	}
	if !slices.Equal(asked, []string{"one", "two"}) {
		t.Errorf("pulled: %q", asked)
	}
}

func TestASidecarGoesOnRunning(t *testing.T) {
	var asked []string
	pod := podOf([]string{"sidecar"}, []string{"web"})
	always := corev1.ContainerRestartPolicyAlways
	pod.Spec.InitContainers[0].RestartPolicy = &always
	status, complete := nextStatus(pod, pullsExcept(&asked), metav1.Now())
	if got := states(status.InitContainerStatuses); !complete || got != "sidecar=running" {
		t.Errorf("complete: %t, %s", complete, got)
	}
}

func TestAnImageThatIsChangedIsPulledAgain(t *testing.T) {
	var asked []string
	pod := podOf([]string{"init"}, []string{"web", "db"})
	pod.Status, _ = nextStatus(pod, pullsExcept(&asked), metav1.Now())
	asked = nil
	pod.Spec.InitContainers[0].Image = "init:2"
	pod.Spec.Containers[0].Image = "web:2"
	status, complete := nextStatus(pod, pullsExcept(&asked), metav1.Now())
	if !complete || !slices.Equal(asked, []string{"web"}) || status.ContainerStatuses[0].ImageID != "web:2@sha256:0" {
		t.Errorf("complete: %t, asked for %v, %s", complete, asked, status.ContainerStatuses[0].ImageID)
	}
}
