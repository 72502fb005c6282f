// Package wiretest checks what decoders of messages return. Only tests may import it.
package wiretest

import (
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// CheckRefusal holds for every error of a decoder.
func CheckRefusal(t testing.TB, err *model.Error) {
	t.Helper()
	if err.Code != model.CodeInvalid && err.Code != model.CodeTooLarge {
		t.Errorf("code %d for bad input: %s", err.Code, err.Message)
	}
	if !strings.Contains(err.Message, ": ") || len(err.Message) > 2000 {
		t.Errorf("the sentence names no field or is too long: %.300s", err.Message)
	}
	if err.ID != "" && !model.ValidName(err.ID) {
		t.Errorf("it names the invalid id %q", err.ID)
	}
}
