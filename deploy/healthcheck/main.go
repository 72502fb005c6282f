// Healthcheck is the health check of the images, which have neither a shell nor a
// client for HTTP: healthcheck URL [TEXT] gets the URL and ends with 0 if the answer
// is 200 and has the text, else with 1 and a sentence.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// limit bounds the request; a compose file may end it earlier.
const limit = 5 * time.Second

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: healthcheck URL [TEXT]")
		os.Exit(1) // 2 is reserved by Docker
	}
	text := ""
	if len(os.Args) == 3 {
		text = os.Args[2]
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	err := check(ctx, os.Args[1], text)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "healthcheck:", err)
		os.Exit(1)
	}
}

// check gets the URL and looks for the text in the answer.
func check(ctx context.Context, url, text string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %.200s", url, response.Status, body)
	case !strings.Contains(string(body), text):
		return fmt.Errorf("%s: %q is not in the answer", url, text)
	}
	return nil
}
