package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
)

const (
	exampleHost = "example-registry.cn-hangzhou.cr.aliyuncs.com"
	otherHost   = "other-registry.cn-hangzhou.cr.aliyuncs.com"
	exampleUser = "cr_temp_user"
)

func TestMain(m *testing.M) {
	// Distribution has a line for each request, in which a failure would be lost.
	logrus.SetLevel(logrus.FatalLevel)
	os.Exit(m.Run())
}

// A fakeLogin stands in for the fake cloud, as far as logins go.
type fakeLogin struct {
	mutex    sync.Mutex
	good     map[string]string // passwords, and the host each is for
	expired  map[string]bool
	broken   bool
	attempts []string // passwords, in the order they were tried
}

func newFakeLogin() *fakeLogin {
	return &fakeLogin{good: map[string]string{"EXAMPLE-good": exampleHost}, expired: map[string]bool{}}
}

func (f *fakeLogin) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	user, password, _ := request.BasicAuth()
	f.attempts = append(f.attempts, password)
	host, known := f.good[password]
	detail := ""
	switch {
	case f.broken || request.URL.Path != "/auth":
		http.Error(w, "no", http.StatusBadGateway)
		return
	case !known || user != exampleUser:
		detail = "this user and password were never handed out"
	case host != request.Host:
		detail = "the credential is for another registry"
	case f.expired[password]:
		detail = "the credential has expired"
	default:
		_, _ = io.WriteString(w, `{"token":"EXAMPLE-token"}`)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": "UNAUTHORIZED", "detail": detail}}})
}

// change does something to the logins, between two of them.
func (f *fakeLogin) change(do func()) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	do()
}

// startRegistry starts a registry with team/web:1 and, for everybody, public/tool:1. It
// returns its address.
func startRegistry(t *testing.T, logins http.Handler) string {
	t.Helper()
	cloud := httptest.NewServer(logins)
	t.Cleanup(cloud.Close)
	registry, err := newRegistry(registryOptions{cloud: cloud.URL, publicImages: []string{"public/tool:1"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry)
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	if err := seed(t.Context(), address, []string{"team/web:1", "public/tool:1"}); err != nil {
		t.Fatal(err)
	}
	return address
}

// pullAs pulls an image's manifest from the registry at address.
func pullAs(t *testing.T, address, image string, login authn.Authenticator) error {
	t.Helper()
	hosts, err := parseHosts([]string{"*.aliyuncs.com=" + address})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote.Image(reference, remote.WithAuth(login), remote.WithTransport(hosts.transport()), remote.WithContext(t.Context()))
	return err
}

func good() authn.Authenticator {
	return &authn.Basic{Username: exampleUser, Password: "EXAMPLE-good"}
}

func TestACredentialPullsExactlyWhileTheCloudSaysSo(t *testing.T) {
	logins := newFakeLogin()
	address := startRegistry(t, logins)
	image := exampleHost + "/team/web:1"
	if err := pullAs(t, address, image, good()); err != nil {
		t.Fatalf("a good credential: %v", err)
	}
	wrong := &authn.Basic{Username: exampleUser, Password: "EXAMPLE-wrong"}
	refused(t, pullAs(t, address, image, wrong))
	logins.change(func() { logins.expired["EXAMPLE-good"] = true })
	refused(t, pullAs(t, address, image, good()))
	logins.change(func() { logins.expired = map[string]bool{} })
	if err := pullAs(t, address, image, good()); err != nil {
		t.Errorf("a credential that is good again: %v", err)
	}
}

func TestACredentialIsForOneHostOnly(t *testing.T) {
	address := startRegistry(t, newFakeLogin())
	refused(t, pullAs(t, address, otherHost+"/team/web:1", good()))
}

func TestStrangersPullPublicImagesOnly(t *testing.T) {
	logins := newFakeLogin()
	address := startRegistry(t, logins)
	if err := pullAs(t, address, exampleHost+"/public/tool:1", authn.Anonymous); err != nil {
		t.Errorf("a public image: %v", err)
	}
	refused(t, pullAs(t, address, exampleHost+"/team/web:1", authn.Anonymous))
	if len(logins.attempts) > 0 {
		t.Errorf("strangers were asked for at the cloud: %q", logins.attempts)
	}
}

func TestACloudThatIsDownIsNotARefusal(t *testing.T) {
	logins := newFakeLogin()
	address := startRegistry(t, logins)
	logins.change(func() { logins.broken = true })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+tokenPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(exampleUser, "EXAMPLE-good")
	if status := statusOf(t, request); status != http.StatusServiceUnavailable {
		t.Errorf("a login that nobody can judge gets %d", status)
	}
	// Nobody is asked about strangers and the seeder.
	if err := pullAs(t, address, exampleHost+"/public/tool:1", authn.Anonymous); err != nil {
		t.Errorf("a stranger: %v", err)
	}
	if err := pullAs(t, address, exampleHost+"/team/web:1", &authn.Basic{Username: seederName, Password: seederPassword}); err != nil {
		t.Errorf("the seeder: %v", err)
	}
}

func TestTheRegistryTakesTokensOfItsOwnIssuerWhileTheyLast(t *testing.T) {
	issuer, stranger := newIssuer(t), newIssuer(t)
	app, err := distributionApp(issuer)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(app)
	defer server.Close()
	now := time.Now()
	for _, c := range []struct {
		name   string
		issuer *tokenIssuer
		issued time.Time
		access string
		want   int
	}{
		{"a good token", issuer, now, "repository:team/web:pull", http.StatusNotFound},
		{"a token for something else", issuer, now, "repository:team/db:pull", http.StatusUnauthorized},
		{"an old token", issuer, now.Add(-time.Hour), "repository:team/web:pull", http.StatusUnauthorized},
		{"another issuer's token", stranger, now, "repository:team/web:pull", http.StatusUnauthorized},
	} {
		signed, err := c.issuer.issue("somebody", granted([]string{c.access}, allowedToPullers), c.issued)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v2/team/web/manifests/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+signed)
		if status := statusOf(t, request); status != c.want {
			t.Errorf("%s gets %d, want %d", c.name, status, c.want)
		}
	}
}

func newIssuer(t *testing.T) *tokenIssuer {
	t.Helper()
	issuer, err := newTokenIssuer()
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

func statusOf(t *testing.T, request *http.Request) int {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestPullersCannotPush(t *testing.T) {
	address := startRegistry(t, newFakeLogin())
	hosts, err := parseHosts([]string{"*.aliyuncs.com=" + address})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.NewTag(exampleHost + "/team/web:2")
	if err != nil {
		t.Fatal(err)
	}
	image, err := tinyImage("pushed")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, remote.Write(reference, image, remote.WithAuth(good()), remote.WithTransport(hosts.transport())))
}

// refused fails the test unless err is a registry's refusal, which names no password.
func refused(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "UNAUTHORIZED") {
		t.Errorf("got %v, want a refusal", err)
	}
	if err != nil && strings.Contains(err.Error(), "EXAMPLE-") {
		t.Errorf("a password is in %v", err)
	}
}

func TestTokensGrantWhatIsAllowedOfWhatIsWanted(t *testing.T) {
	pullOnly := func(repository, action string) bool { return repository != "secret" && action == "pull" }
	for _, c := range []struct {
		scopes []string
		want   []string
	}{
		{nil, nil},
		{[]string{"repository:team/web:pull"}, []string{"team/web=pull"}},
		{[]string{"repository:team/web:push,pull"}, []string{"team/web=pull"}},
		{[]string{"repository:a:pull repository:b:pull", "repository:secret:pull"}, []string{"a=pull", "b=pull"}},
		{[]string{"registry:catalog:*", "nonsense", ""}, nil},
	} {
		var got []string
		for _, access := range granted(c.scopes, pullOnly) {
			got = append(got, access.Name+"="+strings.Join(access.Actions, ","))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("granted(%q) = %q, want %q", c.scopes, got, c.want)
		}
	}
}

func TestTheRegistryListensOnLoopbackOnly(t *testing.T) {
	if _, err := listenOnLoopback("0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("got %v", err)
	}
}

func TestImagesNeedARepositoryAndATag(t *testing.T) {
	got, err := repositories([]string{"team/web:1", "a:b"})
	if want := []string{"team/web", "a"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, image := range []string{"team/web", ":1", "team/web:"} {
		if _, err := repositories([]string{image}); err == nil {
			t.Errorf("%q is taken", image)
		}
	}
}
