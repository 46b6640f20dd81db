package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The users of the API server. Others, for tests of rights, are impersonated by
// the administrator (kubectl --as).
const (
	adminUser             = "admin"
	adminGroup            = "system:masters"
	controllerManagerUser = "system:kube-controller-manager"
	nodeUser              = "system:node:" + defaultNodeName
)

// credentials are the tokens by which users are known.
type credentials struct {
	admin, controllerManager, node string
}

func newCredentials() credentials {
	return credentials{admin: rand.Text(), controllerManager: rand.Text(), node: rand.Text()}
}

// tokenFile is the content of the API server's --token-auth-file: token, name,
// UID and groups of each user.
func (c credentials) tokenFile() string {
	return strings.Join([]string{
		c.admin + "," + adminUser + "," + adminUser + "," + adminGroup,
		c.controllerManager + "," + controllerManagerUser + "," + controllerManagerUser,
		// It may do everything, since it is the scheduler too, but under its own name.
		c.node + "," + nodeUser + "," + nodeUser + "," + adminGroup,
		"",
	}, "\n")
}

// kubeconfig is the way of one user to one server, certificate included, so that
// the file may be copied elsewhere.
func kubeconfig(server, user, token string, ca []byte) *clientcmdapi.Config {
	const cluster = "cluster"
	config := clientcmdapi.NewConfig()
	config.Clusters[cluster] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	config.CurrentContext = cluster
	return config
}

// writeKubeconfig writes a kubeconfig to path, with the certificate the API server
// has made for itself.
func writeKubeconfig(path string, files layout, ports ports, user, token string) error {
	ca, err := os.ReadFile(files.ca)
	if err != nil {
		return fmt.Errorf("reading the certificate of the API server: %w", err)
	}
	if err := clientcmd.WriteToFile(*kubeconfig(ports.server(), user, token, ca), path); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}

// writeSecrets writes what the API server reads at its start: its users, and the
// key it signs the tokens of service accounts with.
func writeSecrets(files layout, users credentials) error {
	if err := os.Mkdir(files.certs, 0o700); err != nil {
		return fmt.Errorf("making the directory for keys: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return fmt.Errorf("making the key for service accounts: %w", err)
	}
	if err := os.WriteFile(files.serviceAccountKey, key, 0o600); err != nil {
		return fmt.Errorf("writing the key for service accounts: %w", err)
	}
	if err := os.WriteFile(files.tokens, []byte(users.tokenFile()), 0o600); err != nil {
		return fmt.Errorf("writing the users of the API server: %w", err)
	}
	return nil
}

// newKey is a private key in PEM. An elliptic curve is chosen because it takes no
// time, where an RSA key takes up to a second.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
