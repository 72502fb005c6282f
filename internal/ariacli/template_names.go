package ariacli

import (
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
)

// jsonField is the member of an object of JSON.
type jsonField struct {
	name string
	kind reflect.Type
}

// jsonFields returns the members that a type has in JSON, of a pointer those of what it
// points to. It returns nil for a type that is no object with a fixed set of members.
func jsonFields(t reflect.Type) (list []jsonField) {
	if t = pointedTo(t); t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for _, more := range jsonFields(f.Type) {
				same := func(o jsonField) bool { return o.name == more.name }
				if i := slices.IndexFunc(list, same); i < 0 {
					list = append(list, more)
				} else if pointedTo(list[i].kind) != pointedTo(more.kind) && jsonFields(more.kind) != nil {
					list[i].kind = reflect.TypeFor[any]() // an object of several types has any name
				}
			}
		case name != "" && name != "-":
			list = append(list, jsonField{name, f.Type})
		}
	}
	return list
}

func pointedTo(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// elementOf returns the type of the elements of a list or map, and any for other types.
func elementOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		return t.Elem()
	}
	return reflect.TypeFor[any]()
}

// lookUpByIndex replaces .a.b by index . "a" "b", in a node and all below it.
func lookUpByIndex(n parse.Node) parse.Node {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil { // as the list after a missing else is
			for i := range n.Nodes {
				n.Nodes[i] = lookUpByIndex(n.Nodes[i])
			}
		}
	case *parse.ActionNode:
		lookUpByIndex(n.Pipe)
	case *parse.TemplateNode:
		lookUpByIndex(n.Pipe)
	case *parse.IfNode:
		lookUpInBranch(&n.BranchNode)
	case *parse.WithNode:
		lookUpInBranch(&n.BranchNode)
	case *parse.RangeNode:
		lookUpInBranch(&n.BranchNode)
	case *parse.PipeNode:
		if n != nil { // as that of a template without an argument is
			for _, command := range n.Cmds {
				for i := range command.Args {
					command.Args[i] = lookUpByIndex(command.Args[i])
				}
			}
		}
	case *parse.FieldNode:
		return indexCall(&parse.DotNode{NodeType: parse.NodeDot, Pos: n.Pos}, n.Ident, n.Pos)
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			return indexCall(&parse.VariableNode{NodeType: parse.NodeVariable, Pos: n.Pos, Ident: n.Ident[:1]}, n.Ident[1:], n.Pos)
		}
	case *parse.ChainNode:
		return indexCall(lookUpByIndex(n.Node), n.Field, n.Pos)
	}
	return n
}

func lookUpInBranch(n *parse.BranchNode) {
	lookUpByIndex(n.Pipe)
	lookUpByIndex(n.List)
	lookUpByIndex(n.ElseList)
}

// indexCall is the pipeline that looks up names in the value of a node.
func indexCall(of parse.Node, names []string, pos parse.Pos) parse.Node {
	args := []parse.Node{parse.NewIdentifier("index").SetPos(pos), of}
	for _, name := range names {
		args = append(args, &parse.StringNode{NodeType: parse.NodeString, Pos: pos, Quoted: `"` + name + `"`, Text: name})
	}
	return &parse.PipeNode{
		NodeType: parse.NodePipe, Pos: pos,
		Cmds: []*parse.CommandNode{{NodeType: parse.NodeCommand, Pos: pos, Args: args}},
	}
}
