package config

import (
	"path"
	"regexp"
)

// basePath matches what links, redirects and a proxy's rules can hold without escapes.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func (h *HTTP) validate() error {
	if err := checkAddress("http.listen", h.Listen, 0); err != nil {
		return err
	}
	if err := checkAddress("http.health_listen", h.HealthListen, 0); err != nil {
		return err
	}
	if b := h.BasePath; b != "" && (!basePath.MatchString(b) || path.Clean(b) != b) {
		return badKey("http.base_path", "%.80q is not a path such as /aria, without a slash at its end", b)
	}
	return nil
}
