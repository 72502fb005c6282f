package app

import "github.com/aria-cluster/dispatcher/internal/config"

// sayServer says why there is no embedded NATS server: a shell for aria has NATS_URL too.
func (v *Dev) sayServer() {
	switch n := &v.Config.NATS; {
	case n.URL != "":
		v.printf("nats.url is set: no embedded NATS server; using %s", n.URL)
	case n.Context != "":
		v.printf("nats.context is set: no embedded NATS server; using that of %s", n.Context)
	}
}

// interrupted is the error of a run that was ended before it submitted all URLs.
func (v *Dev) interrupted() error {
	if !v.Exit {
		return nil
	}
	v.printf("interrupted before the downloads began; run the same command to begin them")
	return ErrNotAllCompleted
}

// sayMoved names each address that another one replaces, once the dispatcher listens there.
func (v *Dev) sayMoved(cfg *config.Dispatcher) {
	for _, a := range []struct{ wanted, used string }{
		{v.Config.NATS.Listen, cfg.NATS.Listen}, {v.Config.HTTP.Listen, cfg.HTTP.Listen}, {v.Config.HTTP.HealthListen, cfg.HTTP.HealthListen},
	} {
		if a.used != a.wanted {
			v.printf("%s is taken, using %s", a.wanted, a.used)
		}
	}
}
