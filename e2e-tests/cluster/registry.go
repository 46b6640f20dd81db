package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	// What the registry finds by name: how tokens are checked, and where images are kept.
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
)

// tokenPath is where the registry's tokens are handed out, below whatever host name
// the registry is asked by.
const tokenPath = "/token"

// registryOptions are the flags of `cluster registry`.
type registryOptions struct {
	listen       string
	cloud        string
	images       []string
	publicImages []string
}

func registryCommand() *cobra.Command {
	var options registryOptions
	command := &cobra.Command{
		Use:   registryProgram + " --cloud URL",
		Short: "A container registry whose logins the fake Alibaba Cloud judges",
		Long: `A container registry whose logins the fake Alibaba Cloud judges.

It is the distribution registry, in memory, with token authentication. A user and
a password may pull exactly while the fake cloud says that they are good for the
host name by which the registry is asked: that of an instance or of Personal
Edition, or a loopback address, which stands for the region's first instance.

Public images may be pulled without a login. User "` + seederName + `" with password
"` + seederPassword + `" may pull and push everything.`,
		Example: `  cluster registry --listen 127.0.0.1:5000 --cloud http://127.0.0.1:8080 \
    --image team/web:1 --public-image public/tool:1`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runRegistry(ctx, options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.listen, "listen", "127.0.0.1:0", "loopback `address` to listen on")
	flags.StringVar(&options.cloud, "cloud", "", "`URL` of the fake cloud")
	flags.StringArrayVar(&options.images, "image", nil, "an image that is there from the start, as `repository:tag`; may be repeated")
	flags.StringArrayVar(&options.publicImages, "public-image", nil, "the same, for a `repository:tag` that everybody may pull; may be repeated")
	return command
}

// runRegistry serves a registry until ctx ends.
func runRegistry(ctx context.Context, options registryOptions) error {
	// Distribution has a line for each request, and while images are pushed an error for
	// each blob that is not there yet. Ours would be lost among them.
	logrus.SetLevel(logrus.FatalLevel)
	listener, err := listenOnLoopback(options.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	registry, err := newRegistry(options)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: registry, ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	address := listener.Addr().String()
	if err := seed(ctx, address, slices.Concat(options.images, options.publicImages)); err != nil {
		return err
	}
	registry.seeded.Store(true)
	logrus.SetLevel(logrus.ErrorLevel)
	fmt.Printf("the registry listens on %s\n", address)
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	}
}

// listenOnLoopback keeps the registry from the network: everybody knows how to push.
func listenOnLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("--listen: %s is not a loopback address: use 127.0.0.1", host)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	return listener, nil
}

// A registry is distribution's, with the server of its tokens beside it.
type registry struct {
	http.Handler
	seeded atomic.Bool // whether the images are there
}

func newRegistry(options registryOptions) (*registry, error) {
	cloud, err := url.Parse(options.cloud)
	if err != nil {
		return nil, fmt.Errorf("--cloud: %w", err)
	}
	if cloud.Host == "" {
		return nil, errors.New("--cloud is missing: name the URL of the fake cloud, such as http://127.0.0.1:8080")
	}
	public, err := repositories(options.publicImages)
	if err != nil {
		return nil, err
	}
	issuer, err := newTokenIssuer()
	if err != nil {
		return nil, err
	}
	images, err := distributionApp(issuer)
	if err != nil {
		return nil, err
	}
	r := &registry{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !r.seeded.Load() {
			http.Error(w, "the images are not there yet", http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET "+tokenPath, &tokenServer{issuer: issuer, judge: cloudJudge(cloud), public: public})
	mux.Handle("/", images)
	r.Handler = mux
	return r, nil
}

// distributionApp is distribution's registry, which trusts the tokens of this issuer.
func distributionApp(issuer *tokenIssuer) (http.Handler, error) {
	dir, err := os.MkdirTemp("", "registry-keys-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the key of the tokens: %w", err)
	}
	// The key is read once, when the app is made.
	defer os.RemoveAll(dir)
	keys := filepath.Join(dir, "jwks.json")
	if err := issuer.writeKeySet(keys); err != nil {
		return nil, err
	}
	app := handlers.NewApp(context.Background(), &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory":    {},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
		Auth: configuration.Auth{"token": {
			// The realm goes by the host name of each request, so that the server of the
			// tokens learns which registry is meant.
			"autoredirect":     true,
			"autoredirectpath": tokenPath,
			"realm":            tokenPath,
			"issuer":           tokenIssuerName,
			"service":          tokenService,
			"jwks":             keys,
		}},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		// Otherwise the realm begins with https.
		request.Header.Set("X-Forwarded-Proto", "http")
		app.ServeHTTP(w, request)
	}), nil
}
