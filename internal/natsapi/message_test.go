package natsapi

import (
	"errors"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestReply_ErrorHeaderIsOneShortLine checks that the headers of an error cannot
// contain others.
func TestReply_ErrorHeaderIsOneShortLine(t *testing.T) {
	m := replyMessage(api.Reply{Err: model.Errorf(400, "id: bad\r\nNats-Service-Error-Code: 200\x00 %s", strings.Repeat("é", 2000)).For("t1")}, "x")
	text := m.Header.Get("Nats-Service-Error")
	if strings.ContainsAny(text, "\r\n\x00") || len(text) > 1100 || !strings.HasPrefix(text, "id: bad") || m.Header.Get("Nats-Service-Error-Code") != "400" {
		t.Errorf("got %q", text)
	}
	if text := wire.HeaderText("\n"); text != "error" {
		t.Errorf("an empty sentence became %q", text)
	}
}

// TestReply_ErrorIsDecodedWithItsID checks that a client reads the error that the
// service wrote.
func TestReply_ErrorIsDecodedWithItsID(t *testing.T) {
	m := replyMessage(api.Reply{Err: model.Errorf(409, "task t1 is over").For("t1")}, "x")
	err := wire.DecodeReply(m.Header.Get("Nats-Service-Error-Code"), m.Header.Get("Nats-Service-Error"), m.Data, nil)
	var got *model.Error
	if !errors.As(err, &got) || got.Code != 409 || got.ID != "t1" || got.Message != "task t1 is over" {
		t.Errorf("got %#v", err)
	}
	if got := wire.DecodeReply("x", "what", nil, nil); model.CodeOf(got) != 500 {
		t.Errorf("a code that is no number: %v", got)
	}
	if got := wire.DecodeReply("", "", []byte("x"), &struct{}{}); got == nil {
		t.Error("a broken answer is taken for one")
	}
}
