package config

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// DispatcherUsage writes the answer to dispatcher -h: flags, and all keys with
// their environment names and defaults.
func DispatcherUsage(w io.Writer) error {
	l := newLoader("dispatcher", dispatcherPrefix, keysOf(DefaultDispatcher(), dispatcherPrefix))
	l.dispatcherFlags(&DispatcherCommand{})
	return l.usage(w, `usage: dispatcher [-config FILE] [flags]
       dispatcher -dev [-exit] [flags] [URL…]

The dispatcher gives downloads to workers. With -dev it is all that is needed:
embedded NATS unless NATS_URL or another key names a server, memory store and a
worker into ./downloads, in one process.
`)
}

// WorkerUsage writes the answer to worker -h.
func WorkerUsage(w io.Writer) error {
	l := newLoader("worker", workerPrefix, keysOf(DefaultWorker(), workerPrefix))
	l.workerFlags(&WorkerCommand{})
	return l.usage(w, `usage: worker [-config FILE] [flags]

A worker downloads what the dispatcher gives it.
`)
}

func (l *loader) usage(w io.Writer, head string) error {
	var b strings.Builder
	b.WriteString(head + "\nFlags beat environment beats file beats defaults.\n\nFlags:\n")
	tab := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	l.flags.VisitAll(func(f *flag.Flag) {
		if k, ok := f.Value.(*keyFlag); ok {
			fmt.Fprintf(tab, "  -%s\tsets %s\n", strings.TrimSpace(f.Name+" "+k.k.placeholder()), k.k.path)
			return
		}
		name, doc := flag.UnquoteUsage(f)
		fmt.Fprintf(tab, "  -%s\t%s\n", strings.TrimSpace(f.Name+" "+name), doc)
	})
	if err := tab.Flush(); err != nil {
		return err
	}
	b.WriteString("\nKeys:\n")
	for _, k := range l.keys {
		fmt.Fprintf(&b, "  %s = %s\n", k.path, k.defaultText())
		fmt.Fprintf(&b, "      %s\n", k.help())
		fmt.Fprintf(&b, "      environment: %s\n", strings.Join(k.env, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// placeholder stands for the value after the key's flag; "" where the flag can stand alone.
func (k *key) placeholder() string {
	switch k.form() {
	case formNumber:
		return "N"
	case formBool:
		return ""
	case formTime:
		return "DURATION"
	case formSize:
		return "SIZE"
	case formList:
		return "A,B…"
	case formMap:
		return "NAME=VALUE,…"
	default:
		if k.oneof != nil {
			return strings.Join(k.choices(), "|")
		}
		return "TEXT"
	}
}

// defaultText is the value as a reader would write it in the file.
func (k *key) defaultText() string {
	switch k.form() {
	case formString:
		return fmt.Sprintf("%q", k.text())
	case formTime:
		b, _ := k.value.Interface().(interface{ MarshalJSON() ([]byte, error) }).MarshalJSON() // never fails
		return string(b)
	case formSize:
		if k.value.Int() > 0 {
			return fmt.Sprintf("%q", k.text())
		}
		return k.text()
	case formMap:
		return "{" + k.text() + "}"
	case formList:
		return "[" + k.text() + "]"
	default:
		return k.text()
	}
}

// choices returns the legal values that have a name: what an empty one means is in the
// sentence of the key.
func (k *key) choices() []string {
	return slices.DeleteFunc(slices.Clone(k.oneof), func(value string) bool { return value == "" })
}

// help is the key's sentence with the legal values.
func (k *key) help() string {
	switch {
	case k.oneof != nil:
		return strings.Join(k.choices(), " | ") + ". " + k.doc
	case k.form() == formTime:
		return "Seconds, or \"5m\". " + k.doc
	}
	return k.doc
}
