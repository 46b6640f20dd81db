package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"
)

const (
	privateImage = exampleHost + "/team/web:1"
	publicImage  = exampleHost + "/public/tool:1"
	// patience is how long anything may take that happens in another goroutine.
	patience = 30 * time.Second
)

// A testBed is a node with a registry and an API that is a map.
type testBed struct {
	*testing.T
	node   *node
	client *fake.Clientset
	logins *fakeLogin
	clock  *testingclock.FakeClock
	events chan string
}

func newTestBed(t *testing.T, options nodeOptions) *testBed {
	t.Helper()
	logins := newFakeLogin()
	hosts, err := parseHosts([]string{"*.aliyuncs.com=" + startRegistry(t, logins)})
	if err != nil {
		t.Fatal(err)
	}
	options.name = defaultNodeName
	if options.backOff.first == 0 {
		options.backOff = backOffOptions{first: kubeletBackOff, longest: kubeletLongestBackOff}
	}
	bed := &testBed{
		T:      t,
		client: fake.NewClientset(),
		logins: logins,
		clock:  testingclock.NewFakeClock(time.Now()),
		events: make(chan string, 100),
	}
	bed.node = newNode(bed.client, options, hosts.transport())
	bed.node.backOff.Clock = bed.clock
	bed.node.events.StartEventWatcher(func(event *corev1.Event) {
		// What follows is how long it took.
		message, _, _ := strings.Cut(event.Message, " in ")
		bed.events <- event.Reason + ": " + message
	})
	return bed
}

// secret writes a pull secret with this password for the example registry.
func (b *testBed) secret(name, password string) {
	b.Helper()
	config, err := json.Marshal(map[string]any{"auths": map[string]any{
		exampleHost: map[string]string{"username": exampleUser, "password": password},
	}})
	if err != nil {
		b.Fatal(err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: config},
	}
	secrets := b.client.CoreV1().Secrets("default")
	_, err = secrets.Update(b.Context(), secret, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(b.Context(), secret, metav1.CreateOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
}

// pod makes a Pod on the node, with these pull secrets.
func (b *testBed) pod(image string, secrets ...string) {
	b.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "pod", UID: types.UID(b.Name())},
		Spec: corev1.PodSpec{
			NodeName:      defaultNodeName,
			SchedulerName: corev1.DefaultSchedulerName,
			Containers:    []corev1.Container{{Name: "web", Image: image, ImagePullPolicy: corev1.PullIfNotPresent}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, name := range secrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	if _, err := b.client.CoreV1().Pods("default").Create(b.Context(), pod, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
}

func (b *testBed) read() *corev1.Pod {
	b.Helper()
	pod, err := b.client.CoreV1().Pods("default").Get(b.Context(), "pod", metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return pod
}

// attempt looks after the Pod once. The state of its container is to be the one that is
// wanted: Running, or a reason to wait. The message is returned.
func (b *testBed) attempt(want string) string {
	b.Helper()
	again, err := b.node.lookAfter(b.Context(), b.read())
	if err != nil {
		b.Fatal(err)
	}
	got, message := stateOf(b.read())
	if got != want {
		b.Errorf("the container is %s (%s), want %s", got, message, want)
	}
	if waits := again > 0; waits == (want == "Running") {
		b.Errorf("the Pod is %s, and looked at again after %v", want, again)
	}
	if strings.Contains(message, "EXAMPLE-") {
		b.Errorf("a password is in %s", message)
	}
	return message
}

// stateOf is the state of the Pod's only container.
func stateOf(pod *corev1.Pod) (state, message string) {
	if len(pod.Status.ContainerStatuses) != 1 {
		return "unknown", ""
	}
	if waiting := pod.Status.ContainerStatuses[0].State.Waiting; waiting != nil {
		return waiting.Reason, waiting.Message
	}
	return "Running", ""
}

// expectEvents reads the next events. Each is to begin as it is wanted.
func (b *testBed) expectEvents(want ...string) {
	b.Helper()
	for _, beginning := range want {
		select {
		case got := <-b.events:
			if !strings.HasPrefix(got, beginning) {
				b.Errorf("the event is %s, want %s…", got, beginning)
			}
			if strings.Contains(got, "EXAMPLE-") {
				b.Errorf("a password is in %s", got)
			}
		case <-time.After(patience):
			b.Fatalf("there is no event %s…", beginning)
		}
	}
}

func TestAPodWithAGoodPullSecretRuns(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.secret("pull", "EXAMPLE-good")
	bed.pod(privateImage, "pull")
	bed.attempt("Running")
	bed.expectEvents(`Pulling: Pulling image "`+privateImage, `Pulled: Successfully pulled image "`+privateImage)
	pod := bed.read()
	if id := pod.Status.ContainerStatuses[0].ImageID; !strings.HasPrefix(id, exampleHost+"/team/web@sha256:") {
		t.Errorf("the image's id is %s", id)
	}
	if pod.Status.Phase != corev1.PodRunning {
		t.Errorf("the Pod is %s", pod.Status.Phase)
	}
}

func TestAPullSecretThatIsRepairedInPlaceIsUsedOnceTheBackOffEnds(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.secret("pull", "EXAMPLE-wrong")
	bed.pod(privateImage, "pull")
	if message := bed.attempt("ErrImagePull"); !strings.Contains(message, "UNAUTHORIZED") {
		t.Errorf("the message is %s", message)
	}
	bed.expectEvents("Pulling: ", "Failed: Failed to pull image", "Failed: Error: ErrImagePull")

	bed.secret("pull", "EXAMPLE-good")
	bed.clock.Step(kubeletBackOff - time.Second)
	if message := bed.attempt("ImagePullBackOff"); !strings.Contains(message, "UNAUTHORIZED") {
		t.Errorf("the message says nothing of the reason: %s", message)
	}
	bed.expectEvents("BackOff: Back-off pulling image", "Failed: Error: ImagePullBackOff")

	bed.clock.Step(time.Second)
	bed.attempt("Running")
	bed.expectEvents("Pulling: ", "Pulled: ")
}

func TestACredentialThatExpiredKeepsThePodWaitingUntilItIsReplaced(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.logins.expired["EXAMPLE-good"] = true
	bed.secret("pull", "EXAMPLE-good")
	bed.pod(privateImage, "pull")
	bed.attempt("ErrImagePull")
	bed.logins.change(func() { bed.logins.good["EXAMPLE-renewed"] = exampleHost })
	bed.secret("pull", "EXAMPLE-renewed")
	bed.clock.Step(kubeletBackOff)
	bed.attempt("Running")
}

func TestPublicImagesNeedNoPullSecretAndPrivateOnesDo(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.pod(publicImage)
	bed.attempt("Running")

	bed = newTestBed(t, nodeOptions{})
	bed.pod(privateImage)
	bed.attempt("ErrImagePull")
}

func TestAWrongCredentialIsNotFollowedByAnAnonymousPull(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.secret("pull", "EXAMPLE-wrong")
	bed.pod(publicImage, "pull")
	bed.attempt("ErrImagePull")
}

func TestEachCredentialIsTriedInTheOrderOfThePod(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.secret("first", "EXAMPLE-wrong")
	bed.secret("second", "EXAMPLE-good")
	bed.secret("third", "EXAMPLE-never-asked")
	bed.pod(privateImage, "first", "second", "third")
	bed.attempt("Running")
	if want := []string{"EXAMPLE-wrong", "EXAMPLE-good"}; !slices.Equal(bed.logins.attempts, want) {
		t.Errorf("tried were %q, want %q", bed.logins.attempts, want)
	}
}

func TestAPullSecretThatIsMissingIsToldAndThePullIsTried(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.pod(publicImage, "nowhere", "", "neither")
	bed.attempt("Running")
	bed.expectEvents(
		"FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (nowhere, neither); attempting",
		"Pulling: ", "Pulled: ",
	)
}

func TestOtherRegistriesAreNeverAsked(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.pod("registry.example.com/team/web:1")
	if message := bed.attempt("ErrImagePull"); !strings.Contains(message, "there is no registry registry.example.com here") {
		t.Errorf("the message is %s", message)
	}
}

// run has the node look after Pods by itself, until the test ends.
func (b *testBed) run() {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.node.run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
}

// eventually waits until the Pod is as it is to be; it may be gone.
func (b *testBed) eventually(what string, is func(*corev1.Pod) bool) {
	b.Helper()
	changes, err := b.client.CoreV1().Pods("default").Watch(b.Context(), metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer changes.Stop()
	timeout := time.After(patience)
	for {
		pod, err := b.client.CoreV1().Pods("default").Get(b.Context(), "pod", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			pod = nil
		} else if err != nil {
			b.Fatal(err)
		}
		if is(pod) {
			return
		}
		select {
		case <-changes.ResultChan():
		case <-timeout:
			b.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestAChangedPullSecretEndsTheBackOffWhereThatIsWanted(t *testing.T) {
	never := backOffOptions{first: time.Hour, longest: time.Hour}
	bed := newTestBed(t, nodeOptions{backOff: never, retryOnSecrets: true})
	bed.secret("pull", "EXAMPLE-wrong")
	bed.pod(privateImage, "pull")
	bed.run()
	bed.eventually("the pull failed", func(pod *corev1.Pod) bool {
		state, _ := stateOf(pod)
		return state == "ErrImagePull" || state == "ImagePullBackOff"
	})
	bed.secret("pull", "EXAMPLE-good")
	bed.eventually("the Pod runs", func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning })
}

func TestADeletedPodIsGoneAtOnce(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.pod(publicImage)
	bed.run()
	bed.eventually("the Pod runs", func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning })
	pod := bed.read()
	now := metav1.Now()
	pod.DeletionTimestamp = &now
	if _, err := bed.client.CoreV1().Pods("default").Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	bed.eventually("the Pod is gone", func(pod *corev1.Pod) bool { return pod == nil })
}

func TestPodsWithoutANodeAreBoundUnlessAnotherSchedulerIsMeant(t *testing.T) {
	bed := newTestBed(t, nodeOptions{})
	bed.pod(publicImage)
	for _, c := range []struct {
		change func(*corev1.PodSpec)
		want   bool
	}{
		{func(*corev1.PodSpec) {}, true},
		{func(spec *corev1.PodSpec) { spec.SchedulerName = "other" }, false},
		{func(spec *corev1.PodSpec) { spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "gate"}} }, false},
	} {
		pod := bed.read()
		pod.Spec.NodeName = ""
		c.change(&pod.Spec)
		bed.client.ClearActions()
		if err := bed.node.bind(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		bound := slices.ContainsFunc(bed.client.Actions(), func(action k8stesting.Action) bool {
			return action.Matches("create", "pods/binding")
		})
		if bound != c.want {
			t.Errorf("%+v: bound: %t, want %t", pod.Spec, bound, c.want)
		}
	}
}

func TestTheNodeIsReadyAndHasNoTaints(t *testing.T) {
	client := fake.NewClientset()
	// A second start finds the Node of the first.
	for range 2 {
		if err := register(t.Context(), client, "node"); err != nil {
			t.Fatal(err)
		}
	}
	found, err := client.CoreV1().Nodes().Get(t.Context(), "node", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Spec.Taints) > 0 || len(found.Status.Conditions) != 1 || found.Status.Conditions[0].Status != corev1.ConditionTrue {
		t.Errorf("got %+v", found)
	}
}
