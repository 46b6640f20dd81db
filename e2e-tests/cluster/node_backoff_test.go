package main

import (
	"slices"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

func TestBackOffDoublesUpToItsLimitAndStartsAnew(t *testing.T) {
	clock := testingclock.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	backOff := backOffOptions{first: kubeletBackOff, longest: kubeletLongestBackOff}.start(clock)
	// fail reports a failure and returns how long it holds off the next attempt.
	fail := func() time.Duration {
		backOff.Next("image", clock.Now())
		began := clock.Now()
		for backOff.IsInBackOffSinceUpdate("image", clock.Now()) {
			clock.Step(time.Second)
		}
		return clock.Since(began)
	}
	var got []time.Duration
	for range 7 {
		got = append(got, fail())
	}
	want := []time.Duration{10, 20, 40, 80, 160, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(got, want) {
		t.Errorf("the waits are %v, want %v", got, want)
	}
	clock.Step(2*kubeletLongestBackOff + time.Second)
	if again := fail(); again != kubeletBackOff {
		t.Errorf("after a quiet time the wait is %v, want %v", again, kubeletBackOff)
	}
}

func TestAPodIsLookedAtAfterTheFirstBackOffOrALittleLater(t *testing.T) {
	options := backOffOptions{first: kubeletBackOff, longest: kubeletLongestBackOff}
	for range 100 {
		if next := options.nextLook(); next < kubeletBackOff || next > kubeletBackOff*3/2 {
			t.Fatalf("the next look is after %v", next)
		}
	}
}

func TestBackOffsThatCannotBeAreTold(t *testing.T) {
	for _, options := range []backOffOptions{{0, time.Second}, {-1, time.Second}, {2 * time.Second, time.Second}} {
		if options.check() == nil {
			t.Errorf("%+v is taken", options)
		}
	}
}
