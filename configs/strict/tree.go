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
