package strict

import (
	"io"

	"go.yaml.in/yaml/v4"
)

// Tree is the effective configuration: every key that was asked for, with the
// value that holds. Secrets are blanked; what came from the environment is shown
// as it stands in the file.
type Tree struct{ node *yaml.Node }

// WriteYAML writes the tree as YAML.
func (t Tree) WriteYAML(w io.Writer) error {
	if t.node == nil || len(t.node.Content) == 0 {
		_, err := io.WriteString(w, "{}\n")
		return err
	}
	out, err := yaml.Dump(t.node, yaml.WithIndent(2))
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

// Append puts entry behind those of a list, with a comment before it. t is the whole
// tree of a file, and list a key of it.
func (t *Tree) Append(list string, entry Tree, comment string) {
	if t.node == nil {
		t.node = &yaml.Node{Kind: yaml.MappingNode}
	}
	item := *entry.node
	item.HeadComment = comment
	for i := 0; i+1 < len(t.node.Content); i += 2 {
		if to := t.node.Content[i+1]; t.node.Content[i].Value == list && to.Kind == yaml.SequenceNode {
			to.Content, to.Style = append(to.Content, &item), 0
			return
		}
	}
	t.node.Content = append(t.node.Content,
		&yaml.Node{Kind: yaml.ScalarNode, Value: list}, &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{&item}})
}
