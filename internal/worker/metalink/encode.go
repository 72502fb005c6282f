package metalink

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
)

// Encode writes the metalink in version 4, with only the parts that [Parse] understood.
func (m *Metalink) Encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=%q>\n", namespaceV4)
	for i := range m.Files {
		m.Files[i].encode(&b)
	}
	b.WriteString("</metalink>\n")
	return b.Bytes()
}

func (f *File) encode(b *bytes.Buffer) {
	open(b, "file", "name", f.Name)
	if f.Size >= 0 {
		element(b, "size", strconv.FormatInt(f.Size, 10))
	}
	for _, h := range f.Hashes {
		element(b, "hash", h.Value, "type", h.Kind)
	}
	if p := f.Pieces; p != nil {
		open(b, "pieces", "type", p.Kind, "length", strconv.FormatInt(p.Length, 10))
		for _, value := range p.Values {
			element(b, "hash", value)
		}
		b.WriteString("</pieces>\n")
	}
	for _, u := range f.Torrents {
		element(b, "metaurl", u.URL, "mediatype", "torrent", "priority", strconv.Itoa(u.Priority), "name", u.Name)
	}
	for _, u := range f.URLs {
		element(b, "url", u.URL, "priority", strconv.Itoa(u.Priority), "location", u.Location)
	}
	b.WriteString("</file>\n")
}

func element(b *bytes.Buffer, name, text string, attributes ...string) {
	open(b, name, attributes...)
	escape(b, text)
	b.WriteString("</" + name + ">\n")
}

// open writes the start of an element; an attribute without a value is left out.
func open(b *bytes.Buffer, name string, attributes ...string) {
	b.WriteString("<" + name)
	for i := 0; i < len(attributes); i += 2 {
		if attributes[i+1] == "" {
			continue
		}
		b.WriteString(" " + attributes[i] + `="`)
		escape(b, attributes[i+1])
		b.WriteByte('"')
	}
	b.WriteByte('>')
}

func escape(b *bytes.Buffer, text string) {
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes everything
}
