package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// cloudJudge asks the fake cloud, as a client that logs in at one of its registries
// would: by the registry's host name.
func cloudJudge(cloud *url.URL) judge {
	client := &http.Client{Timeout: 10 * time.Second}
	login := cloud.JoinPath("auth").String()
	return func(ctx context.Context, host, user, password string) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, login, nil)
		if err != nil {
			return fmt.Errorf("asking the fake cloud: %w", err)
		}
		request.Host = host
		request.SetBasicAuth(user, password)
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("asking the fake cloud: %w", err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		if err != nil {
			return fmt.Errorf("reading the answer of the fake cloud: %w", err)
		}
		switch response.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusUnauthorized:
			return fmt.Errorf("%w: %s", errRefused, detail(body))
		default:
			return fmt.Errorf("the fake cloud answered %s", response.Status)
		}
	}
}

// detail is why the fake cloud refuses a login.
func detail(body []byte) string {
	var answer struct {
		Errors []struct{ Detail string }
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Errors) == 0 {
		return "no reason was given"
	}
	return answer.Errors[0].Detail
}
