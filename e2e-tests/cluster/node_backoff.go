package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
)

const (
	// kubeletBackOff is how long a kubelet waits before it pulls again after a first
	// failure, and how often it looks at a Pod that is not well. Each further failure
	// doubles the former.
	kubeletBackOff = 10 * time.Second
	// kubeletLongestBackOff is where that ends.
	kubeletLongestBackOff = 300 * time.Second
	// lookJitter is by what part a look may come later.
	lookJitter = 0.5
)

// backOffOptions are the flags for how a node waits after a pull that failed.
type backOffOptions struct {
	first, longest time.Duration
}

func (o *backOffOptions) addTo(flags *pflag.FlagSet) {
	flags.DurationVar(&o.first, "pull-back-off", kubeletBackOff, "how long to wait after the first pull that failed; it doubles with each further one")
	flags.DurationVar(&o.longest, "pull-back-off-limit", kubeletLongestBackOff, "where the doubling ends")
}

func (o backOffOptions) check() error {
	if o.first <= 0 || o.longest < o.first {
		return fmt.Errorf("--pull-back-off=%s --pull-back-off-limit=%s: the limit is below the start, or the start is not above zero", o.first, o.longest)
	}
	return nil
}

// start makes the back-off, as the kubelet makes its own.
func (o backOffOptions) start(clock clock.Clock) *flowcontrol.Backoff {
	backOff := flowcontrol.NewBackOff(o.first, o.longest)
	backOff.Clock = clock
	return backOff
}

// nextLook is after what time to look again at a Pod that waits for an image. If its
// back-off has not ended by then, that is all that happens.
func (o backOffOptions) nextLook() time.Duration {
	return wait.Jitter(o.first, lookJitter)
}
