package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/kubelet/status"
	podutil "k8s.io/kubernetes/pkg/util/pod"
)

// A puller pulls the image of a container. It returns the image's reference, or what
// the container waits for.
type puller func(*corev1.Container) (string, *corev1.ContainerStateWaiting)

// nextStatus is the status of a Pod once pull was called for each container whose turn
// it is: init containers one after the other, each done as soon as its image is there,
// then all others. It also says whether no container waits any more.
func nextStatus(pod *corev1.Pod, pull puller, now metav1.Time) (corev1.PodStatus, bool) {
	after := *pod.Status.DeepCopy()
	initialized, complete := true, true

	after.InitContainerStatuses = nil
	for i := range pod.Spec.InitContainers {
		container := &pod.Spec.InitContainers[i]
		next, done := startedBefore(pod.Status.InitContainerStatuses, container)
		switch {
		case done:
		case !initialized:
			next = waiting(container, &corev1.ContainerStateWaiting{Reason: "PodInitializing"})
		default:
			next, initialized = start(pod, container, pull, now)
			if initialized && !isSidecar(container) {
				end(&next, now)
			}
		}
		after.InitContainerStatuses = append(after.InitContainerStatuses, next)
	}

	after.ContainerStatuses = nil
	for i := range pod.Spec.Containers {
		container := &pod.Spec.Containers[i]
		next, done := startedBefore(pod.Status.ContainerStatuses, container)
		// A container whose image is changed is started anew. (One that ran before the
		// others is not: that is over.)
		done = done && next.Image == container.Image
		switch {
		case done:
		case !initialized:
			next = waiting(container, &corev1.ContainerStateWaiting{Reason: "PodInitializing"})
		default:
			next, done = start(pod, container, pull, now)
		}
		complete = complete && done
		after.ContainerStatuses = append(after.ContainerStatuses, next)
	}

	after.Phase = corev1.PodPending
	if complete {
		after.Phase = corev1.PodRunning
	}
	if after.StartTime == nil {
		after.StartTime = &now
	}
	after.ObservedGeneration = pod.Generation
	after.HostIP, after.HostIPs = loopback, []corev1.HostIP{{IP: loopback}}
	setConditions(pod, &after, now)
	return after, complete
}

// setConditions adds what follows from the statuses of the containers, by the rules of
// the kubelet.
func setConditions(pod *corev1.Pod, after *corev1.PodStatus, now metav1.Time) {
	before := &pod.Status
	all := append(append([]corev1.ContainerStatus{}, after.InitContainerStatuses...), after.ContainerStatuses...)
	for _, condition := range []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, ObservedGeneration: pod.Generation},
		status.GeneratePodInitializedCondition(pod, before, all, after.Phase),
		status.GenerateContainersReadyCondition(pod, before, all, after.Phase),
		status.GeneratePodReadyCondition(pod, before, before.Conditions, all, after.Phase),
	} {
		condition.LastTransitionTime = now
		for _, old := range before.Conditions {
			if old.Type == condition.Type && old.Status == condition.Status {
				condition.LastTransitionTime = old.LastTransitionTime
			}
		}
		after.Conditions = podutil.ReplaceOrAppendPodCondition(after.Conditions, &condition)
	}
}

// startedBefore is the status of a container that has run or runs, if it has.
func startedBefore(all []corev1.ContainerStatus, container *corev1.Container) (corev1.ContainerStatus, bool) {
	for _, one := range all {
		if one.Name == container.Name && one.State.Waiting == nil {
			return one, true
		}
	}
	return corev1.ContainerStatus{}, false
}

// start pulls the image of a container, and says whether it runs then.
func start(pod *corev1.Pod, container *corev1.Container, pull puller, now metav1.Time) (corev1.ContainerStatus, bool) {
	image, reason := pull(container)
	if reason != nil {
		return waiting(container, reason), false
	}
	started := true
	return corev1.ContainerStatus{
		Name:        container.Name,
		Image:       container.Image,
		ImageID:     image,
		ContainerID: containerID(pod, container),
		Started:     &started,
		Ready:       true,
		State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}, true
}

func waiting(container *corev1.Container, reason *corev1.ContainerStateWaiting) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name:    container.Name,
		Image:   container.Image,
		Started: new(bool),
		State:   corev1.ContainerState{Waiting: reason},
	}
}

// end has a container that runs end well.
func end(container *corev1.ContainerStatus, now metav1.Time) {
	container.Started = new(bool)
	container.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason:      "Completed",
		StartedAt:   now,
		FinishedAt:  now,
		ContainerID: container.ContainerID,
	}}
}

// isSidecar tells the init containers that go on running.
func isSidecar(container *corev1.Container) bool {
	return container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// containerID has the form of a container runtime's.
func containerID(pod *corev1.Pod, container *corev1.Container) string {
	return "nothing://" + string(pod.UID) + "-" + container.Name
}
