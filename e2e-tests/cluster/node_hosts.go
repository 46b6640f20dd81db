package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

// A hostMap tells where the host names of registries lead.
type hostMap []hostRule

// A hostRule leads the host names that match a pattern to an address.
type hostRule struct {
	pattern, address string
}

// parseHosts reads rules such as `*.cr.aliyuncs.com=127.0.0.1:5000`.
func parseHosts(rules []string) (hostMap, error) {
	var hosts hostMap
	for _, rule := range rules {
		pattern, address, found := strings.Cut(rule, "=")
		if !found || pattern == "" {
			return nil, fmt.Errorf("--host %q: write it as name=address", rule)
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("--host %q: %w", rule, err)
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("--host %q: %w", rule, err)
		}
		if !isLoopback(host) {
			return nil, fmt.Errorf("--host %q: %s is not a loopback address: use 127.0.0.1", rule, host)
		}
		hosts = append(hosts, hostRule{pattern: pattern, address: address})
	}
	return hosts, nil
}

// find returns where a host, such as `example.com:443`, leads.
func (m hostMap) find(hostPort string) (string, error) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return "", err
	}
	for _, rule := range m {
		for _, candidate := range []string{hostPort, host} {
			// The pattern was found to be good when it was read.
			if matched, _ := path.Match(rule.pattern, candidate); matched {
				return rule.address, nil
			}
		}
	}
	if isLoopback(host) {
		return hostPort, nil
	}
	return "", fmt.Errorf("there is no registry %s here: lead it to one with --host", host)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// transport speaks HTTP with the registries that are on loopback, whatever their names
// are. The names stay in the requests.
func (m hostMap) transport() http.RoundTripper {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return plainHTTP{&http.Transport{
		DialContext: func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			address, err := m.find(hostPort)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, address)
		},
		MaxIdleConnsPerHost: podWorkers,
	}}
}

// plainHTTP sends requests for HTTPS over HTTP: nobody on loopback has a certificate
// for the name of a real registry.
type plainHTTP struct {
	next http.RoundTripper
}

func (p plainHTTP) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "https" {
		request = request.Clone(request.Context())
		request.URL.Scheme = "http"
	}
	return p.next.RoundTrip(request)
}
