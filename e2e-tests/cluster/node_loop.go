package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/kubelet/images"
	"k8s.io/kubernetes/pkg/kubelet/images/pullmanager"
	"k8s.io/utils/clock"
)

// podWorkers is how many Pods are looked after at the same time.
const podWorkers = 16

// A node binds Pods and looks after those that are bound to it.
type node struct {
	options  nodeOptions
	client   kubernetes.Interface
	informer informers.SharedInformerFactory
	pods     corev1listers.PodLister
	queue    workqueue.TypedRateLimitingInterface[cache.ObjectName]
	events   record.EventBroadcaster
	kubelet  record.EventRecorder // whose Events look like a kubelet's
	binder   record.EventRecorder // whose Events look like the scheduler's
	backOff  *flowcontrol.Backoff
	images   images.ImageManager
	// impatient are the UIDs of Pods whose back-off ends with the next look.
	impatient sync.Map
}

// newNode is a node whose registries are reached by transport.
func newNode(client kubernetes.Interface, options nodeOptions, transport http.RoundTripper) *node {
	events := record.NewBroadcaster()
	kubelet := events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: options.name})
	backOff := options.backOff.start(clock.RealClock{})
	informer := informers.NewSharedInformerFactory(client, 0)
	return &node{
		options:  options,
		client:   client,
		informer: informer,
		pods:     informer.Core().V1().Pods().Lister(),
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
		events:   events,
		kubelet:  kubelet,
		binder:   events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: corev1.DefaultSchedulerName}),
		backOff:  backOff,
		images: images.NewImageManager(
			kubelet,
			// The node has no credentials of its own.
			&credentialprovider.BasicDockerKeyring{},
			newImageService(transport),
			&pullmanager.NoopImagePullManager{},
			backOff,
			false, // not one after the other,
			nil,   // nor so many at a time,
			0, 0,  // nor so many in a second
			noTimes{},
		),
	}
}

// run looks after Pods until ctx ends.
func (n *node) run(ctx context.Context) error {
	sink := &typedcorev1.EventSinkImpl{Interface: n.client.CoreV1().Events(metav1.NamespaceAll)}
	n.events.StartRecordingToSink(sink)
	defer n.events.Shutdown()

	_, err := n.informer.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: n.enqueue,
		UpdateFunc: func(before, after any) {
			if wants(before.(*corev1.Pod), after.(*corev1.Pod)) {
				n.enqueue(after)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching Pods: %w", err)
	}
	if n.options.retryOnSecrets {
		if err := n.watchSecrets(); err != nil {
			return err
		}
	}
	n.informer.Start(ctx.Done())
	n.informer.WaitForCacheSync(ctx.Done())

	var workers sync.WaitGroup
	for range podWorkers {
		workers.Go(func() {
			for n.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	n.queue.ShutDown()
	workers.Wait()
	n.informer.Shutdown()
	return nil
}

// wants says whether a change of a Pod is one to act on. Its status is not: that is
// what the node itself writes.
func wants(before, after *corev1.Pod) bool {
	return before.UID != after.UID ||
		!before.DeletionTimestamp.Equal(after.DeletionTimestamp) ||
		!equality.Semantic.DeepEqual(before.Spec, after.Spec)
}

func (n *node) enqueue(object any) {
	name, err := cache.ObjectToName(object)
	if err != nil {
		utilruntime.HandleError(err)
		return
	}
	n.queue.Add(name)
}

// next looks after the Pod that waits longest. It returns false when the queue is
// shut down.
func (n *node) next(ctx context.Context) bool {
	name, shutdown := n.queue.Get()
	if shutdown {
		return false
	}
	defer n.queue.Done(name)
	again, err := n.sync(ctx, name)
	switch {
	case err != nil && ctx.Err() == nil:
		fmt.Printf("pod %s: %v\n", name, err)
		n.queue.AddRateLimited(name)
	case again > 0:
		n.queue.Forget(name)
		n.queue.AddAfter(name, again)
	default:
		n.queue.Forget(name)
	}
	return true
}

// sync does what a Pod needs next. It returns after what time it is to be called
// again, or zero if only a change of the Pod is a reason.
func (n *node) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	pod, err := n.pods.Pods(name.Namespace).Get(name.Name)
	switch {
	case apierrors.IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("looking it up: %w", err)
	case pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil:
		return 0, n.bind(ctx, pod)
	case pod.Spec.NodeName != n.options.name:
		return 0, nil
	case pod.DeletionTimestamp != nil:
		return 0, n.remove(ctx, pod)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return 0, nil
	}
	return n.lookAfter(ctx, pod)
}

// bind is the whole scheduler.
func (n *node) bind(ctx context.Context, pod *corev1.Pod) error {
	if pod.Spec.SchedulerName != corev1.DefaultSchedulerName || len(pod.Spec.SchedulingGates) > 0 {
		return nil
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: n.options.name},
	}
	err := n.client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
	if err != nil {
		return ignoreGone(fmt.Errorf("binding it: %w", err))
	}
	n.binder.Eventf(pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, n.options.name)
	return nil
}

// remove ends a Pod. Nothing runs, so there is nothing to wait for.
func (n *node) remove(ctx context.Context, pod *corev1.Pod) error {
	err := n.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64),
		Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if err != nil {
		return ignoreGone(fmt.Errorf("removing it: %w", err))
	}
	return nil
}

// ignoreGone forgives what failed because the Pod is another one by now, or none: the
// watch tells of it.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
