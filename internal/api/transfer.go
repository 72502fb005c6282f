package api

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/transfer"
)

func (c *call) export() {
	q, err := transfer.DecodeExport(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) Reply { return bodyReply(c.service.transfers.Export(ctx, q, room)) })
}

func (c *call) importRecords() {
	q, err := transfer.DecodeImport(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, _ int) Reply { return bodyReply(c.service.transfers.Import(ctx, q)) })
}

// bodyReply answers with an encoded body.
func bodyReply(body []byte, err error) Reply {
	if err != nil {
		return errorReply(err)
	}
	return Reply{Body: body}
}
