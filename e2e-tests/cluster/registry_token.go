package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tokenIssuerName = "cluster"
	tokenService    = "cluster-registry"
	// tokenLife is how long a token may be used. Clients fetch a new one for each pull.
	tokenLife = time.Minute

	// The one user who may push. Everybody may know: the registry is on loopback.
	seederName     = "seeder"
	seederPassword = "EXAMPLE-seeder-password"
)

// errRefused is what a judge wraps when the user and the password are wrong, as
// opposed to errors that keep it from finding out.
var errRefused = errors.New("refused")

// A judge says whether a user and a password are good, now, for a registry of this
// host name.
type judge func(ctx context.Context, host, user, password string) error

// A tokenIssuer signs tokens that the registry trusts.
type tokenIssuer struct {
	key    jose.JSONWebKey
	signer jose.Signer
}

func newTokenIssuer() (*tokenIssuer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of the tokens: %w", err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.ES256)}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		return nil, fmt.Errorf("preparing the key of the tokens: %w", err)
	}
	return &tokenIssuer{key: key, signer: signer}, nil
}

// writeKeySet writes the public key as the registry reads it.
func (i *tokenIssuer) writeKeySet(path string) error {
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}})
	if err != nil {
		return fmt.Errorf("encoding the key of the tokens: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("writing the key of the tokens: %w", err)
	}
	return nil
}

// issue signs a token with which user may do what access says.
func (i *tokenIssuer) issue(user string, access []*token.ResourceActions, now time.Time) (string, error) {
	return jwt.Signed(i.signer).Claims(token.ClaimSet{
		Issuer:     tokenIssuerName,
		Subject:    user,
		Audience:   token.AudienceList{tokenService},
		NotBefore:  now.Unix(),
		IssuedAt:   now.Unix(),
		Expiration: now.Add(tokenLife).Unix(),
		JWTID:      rand.Text(),
		Access:     access,
	}).Serialize()
}

// A tokenServer hands out tokens to those who log in, and tokens for the public
// repositories to those who do not.
type tokenServer struct {
	issuer *tokenIssuer
	judge  judge
	public []string
}

// ServeHTTP answers a request for a token, as in the registry's specification: the
// credential in basic authentication, what is wanted in parameters `scope`. Tokens
// grant what is allowed of that, maybe nothing.
func (s *tokenServer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	user, password, loggedIn := request.BasicAuth()
	allowed := s.allowedToStrangers
	switch {
	case !loggedIn:
	case user == seederName && password == seederPassword:
		allowed = allowedToSeeder
	default:
		if err := s.judge(request.Context(), request.Host, user, password); err != nil {
			fmt.Printf("login at %s: %v\n", request.Host, err)
			refuse(w, err)
			return
		}
		fmt.Printf("login at %s: good\n", request.Host)
		allowed = allowedToPullers
	}

	now := time.Now()
	signed, err := s.issuer.issue(user, granted(request.URL.Query()["scope"], allowed), now)
	if err != nil {
		fmt.Printf("signing a token: %v\n", err)
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// An error means that the client is gone.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token":      signed,
		"expires_in": int(tokenLife.Seconds()),
		"issued_at":  now.UTC().Format(time.RFC3339),
	})
}

// refuse answers that there is no token.
func refuse(w http.ResponseWriter, err error) {
	status, code, message := http.StatusServiceUnavailable, "UNAVAILABLE", "logins cannot be checked at the moment"
	if errors.Is(err, errRefused) {
		status, code, message = http.StatusUnauthorized, "UNAUTHORIZED", "authentication required"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error means that the client is gone.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"errors": []map[string]string{{"code": code, "message": message}},
	})
}

func (s *tokenServer) allowedToStrangers(repository, action string) bool {
	return action == "pull" && slices.Contains(s.public, repository)
}

func allowedToPullers(_, action string) bool { return action == "pull" }

func allowedToSeeder(_, action string) bool { return action == "pull" || action == "push" }

// granted is what of the wanted scopes is allowed. A scope is such as
// `repository:team/web:pull,push`; a parameter may hold several, with spaces between.
func granted(scopes []string, allowed func(repository, action string) bool) []*token.ResourceActions {
	access := []*token.ResourceActions{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		parts := strings.SplitN(scope, ":", 3)
		if len(parts) != 3 || parts[0] != "repository" {
			continue
		}
		repository, wanted := parts[1], strings.Split(parts[2], ",")
		actions := slices.DeleteFunc(wanted, func(action string) bool { return !allowed(repository, action) })
		if len(actions) > 0 {
			access = append(access, &token.ResourceActions{Type: parts[0], Name: repository, Actions: actions})
		}
	}
	return access
}
