package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// controllers are the ones that system tests need. A controller that is left out
// costs nothing; one that looks after nodes or volumes would find none.
var controllers = []string{
	// What a namespace comes with and how it goes.
	names.NamespaceController,
	names.ServiceAccountController,
	names.RootCACertificatePublisherController,
	names.GarbageCollectorController,
	// What makes Pods.
	names.CronJobController,
	names.DaemonSetController,
	names.DeploymentController,
	names.JobController,
	names.ReplicaSetController,
	names.ReplicationControllerController,
	names.StatefulSetController,
	// Without it the roles admin, edit and view, which tenants have, are empty.
	names.ClusterRoleAggregationController,
	// Reports the mistakes in a policy's expressions in the policy's status.
	names.ValidatingAdmissionPolicyStatusController,
}

// loopback is the one address that anything here listens on.
const loopback = "127.0.0.1"

// layout names the files of a cluster, so that no path is put together twice.
type layout struct {
	dir                         string
	etcdData                    string
	certs                       string // where the API server puts its certificate
	ca                          string // verifies that certificate
	tokens                      string // the users of the API server
	serviceAccountKey           string // signs the tokens of service accounts
	controllerManagerKubeconfig string
	nodeKubeconfig              string
	kubeconfig                  string // for people and tests
}

func newLayout(dir string) layout {
	private := filepath.Join(dir, "pki")
	return layout{
		dir:      dir,
		etcdData: filepath.Join(dir, "etcd"),
		certs:    private,
		// The API server signs its own certificate and appends the signer to it.
		ca:                          filepath.Join(private, "apiserver.crt"),
		tokens:                      filepath.Join(private, "tokens.csv"),
		serviceAccountKey:           filepath.Join(private, "service-account.key"),
		controllerManagerKubeconfig: filepath.Join(private, "kube-controller-manager.kubeconfig"),
		nodeKubeconfig:              filepath.Join(private, "node.kubeconfig"),
		kubeconfig:                  filepath.Join(dir, "kubeconfig"),
	}
}

func (l layout) log(program string) string {
	return filepath.Join(l.dir, program+".log")
}

// ports of the loopback interface, one for each listener.
type ports struct {
	etcdClient, etcdPeer, apiServer, registry int
}

func (p ports) etcdURL() string     { return loopbackURL("http", p.etcdClient) }
func (p ports) etcdPeerURL() string { return loopbackURL("http", p.etcdPeer) }
func (p ports) server() string      { return loopbackURL("https", p.apiServer) }

// registryAddress is what begins the names of the images there.
func (p ports) registryAddress() string { return fmt.Sprintf("%s:%d", loopback, p.registry) }

func loopbackURL(scheme string, port int) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port)
}

// freePorts asks the kernel for ports nobody listens on. All are held until the
// last one is known, so that they differ. They are free again for a moment before
// the parts take them, since no part can be given an open listener.
func freePorts() (ports, error) {
	var found ports
	for _, port := range []*int{&found.etcdClient, &found.etcdPeer, &found.apiServer, &found.registry} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports{}, fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close()
		*port = listener.Addr().(*net.TCPAddr).Port
	}
	return found, nil
}

// etcdPart stores the cluster's objects. They need not outlive the machine, so
// nothing is flushed to disk.
func etcdPart(files layout, ports ports) part {
	return part{
		name: etcd,
		args: []string{
			"--name=" + etcd,
			"--data-dir=" + files.etcdData,
			"--listen-client-urls=" + ports.etcdURL(),
			"--advertise-client-urls=" + ports.etcdURL(),
			"--listen-peer-urls=" + ports.etcdPeerURL(),
			"--initial-advertise-peer-urls=" + ports.etcdPeerURL(),
			"--initial-cluster=" + etcd + "=" + ports.etcdPeerURL(),
			"--unsafe-no-fsync",
			// The benchmark's 10,000 namespaces with 50,000 service accounts, and every
			// version of them of the last five minutes.
			fmt.Sprintf("--quota-backend-bytes=%d", 1<<30),
			"--log-level=warn",
		},
		log:   files.log(etcd),
		ready: func(ctx context.Context) error { return getOK(ctx, ports.etcdURL()+"/readyz") },
	}
}

// apiServerPart serves the API. extra are flags as `up` takes them. They come last
// and so win, except for flags that are lists (authorization-mode): those add up.
func apiServerPart(files layout, ports ports, adminToken string, extra []string) part {
	args := []string{
		"--etcd-servers=" + ports.etcdURL(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports.apiServer),
		"--cert-dir=" + files.certs,
		// Otherwise it looks for an interface with a route to the internet.
		"--advertise-address=127.0.0.1",
		// A Service must not lead to a loopback address; `kubernetes` has no endpoint.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + files.serviceAccountKey,
		"--service-account-signing-key-file=" + files.serviceAccountKey,
		"--token-auth-file=" + files.tokens,
		"--authorization-mode=RBAC",
		// As every installer of Kubernetes sets it; the default of the program is false.
		"--allow-privileged=true",
	}
	for _, flag := range extra {
		args = append(args, "--"+strings.TrimLeft(flag, "-"))
	}
	return part{
		name: kubeAPIServer,
		args: args,
		log:  files.log(kubeAPIServer),
		ready: func(ctx context.Context) error {
			// Made anew each time, since the certificate appears after the start.
			client, err := newClient(files, ports, adminToken)
			if err != nil {
				return err
			}
			return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		},
	}
}

// controllerManagerPart runs the controllers, each as a service account of its own
// so that their rights are the real ones. It listens on no port: that the first
// service account is there shows that it works, and is what tests need before they
// can create a Pod.
func controllerManagerPart(files layout, ports ports, adminToken string) part {
	return part{
		name: kubeControllerManager,
		args: []string{
			"--kubeconfig=" + files.controllerManagerKubeconfig,
			"--use-service-account-credentials=true",
			"--controllers=" + strings.Join(controllers, ","),
			"--leader-elect=false",
			"--secure-port=0",
			// The default of 20 a second is made for sharing an API server.
			"--kube-api-qps=200",
			"--kube-api-burst=400",
		},
		log: files.log(kubeControllerManager),
		ready: func(ctx context.Context) error {
			client, err := newClient(files, ports, adminToken)
			if err != nil {
				return err
			}
			_, err = client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
			return err
		},
	}
}

// registryPart serves the images.
func registryPart(files layout, ports ports, options upOptions) part {
	args := []string{"--listen=" + ports.registryAddress(), "--cloud=" + options.registryCloud}
	for _, image := range options.images {
		args = append(args, "--image="+image)
	}
	for _, image := range options.publicImages {
		args = append(args, "--public-image="+image)
	}
	return part{
		name:  registryProgram,
		args:  args,
		log:   files.log(registryProgram),
		ready: func(ctx context.Context) error { return getOK(ctx, loopbackURL("http", ports.registry)+"/readyz") },
	}
}

// nodePart runs the Pods, as far as that goes. It is ready when its Node is.
func nodePart(files layout, ports ports, adminToken string, options upOptions) part {
	args := []string{
		"--kubeconfig=" + files.nodeKubeconfig,
		"--name=" + defaultNodeName,
		fmt.Sprintf("--pull-back-off=%s", options.backOff.first),
		fmt.Sprintf("--pull-back-off-limit=%s", options.backOff.longest),
		fmt.Sprintf("--retry-on-secret-change=%t", options.retryOnSecrets),
	}
	for _, host := range options.hosts {
		if !strings.Contains(host, "=") {
			host += "=" + ports.registryAddress()
		}
		args = append(args, "--host="+host)
	}
	return part{
		name: nodeProgram,
		args: args,
		log:  files.log(nodeProgram),
		ready: func(ctx context.Context) error {
			client, err := newClient(files, ports, adminToken)
			if err != nil {
				return err
			}
			found, err := client.CoreV1().Nodes().Get(ctx, defaultNodeName, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if len(found.Status.Conditions) == 0 {
				return errors.New("the Node has no status yet")
			}
			return nil
		},
	}
}

func newClient(files layout, ports ports, token string) (*kubernetes.Clientset, error) {
	return kubernetes.NewForConfig(&rest.Config{
		Host:            ports.server(),
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: files.ca},
	})
}

// getOK fails unless url answers with status 200.
func getOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s answered %s: %s", url, response.Status, body)
	}
	return nil
}
