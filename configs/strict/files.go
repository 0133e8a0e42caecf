package strict

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSecret bounds a file with a secret: a password, not a picture.
const maxSecret = 64 << 10

// Path reads the path of what need not exist. A relative path is below the folder
// of the file being read.
func (m *Map) Path(key string, v *string) {
	path := *v
	m.String(key, &path)
	if m.Has(key) && path != "" {
		path = m.below(path)
	}
	*v = path
}

// File reads the path of a file that must exist, as Path does.
func (m *Map) File(key string, v *string) {
	var path string
	m.Path(key, &path)
	if path == "" {
		return
	}
	if _, err := m.stat(key, path); err == nil {
		*v = path
	}
}

// Files reads the path of a file that must exist, or a list of them.
func (m *Map) Files(key string, v *[]string) {
	var paths, found []string
	m.OneOrMore(key, &paths)
	for _, path := range paths {
		path = m.below(path)
		if _, err := m.stat(key, path); err == nil {
			found = append(found, path)
		}
	}
	*v = found
}

// SecretFile reads the content of a file, without the line's end, into v, and says which
// file that is; "": none.
func (m *Map) SecretFile(key string, v *string) (path string) {
	m.Path(key, &path)
	if path == "" {
		return ""
	}
	if m.r.env == nil {
		m.Problem(key, key+" is not for what is added at work", "give the secret itself: it is kept where nobody else reads it")
		return ""
	}
	info, err := m.stat(key, path)
	if err != nil {
		return ""
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 {
		m.Warn(key, fmt.Sprintf("others may read or change the secret in %s (mode %04o)", path, mode), "chmod 0600 "+path)
	}
	secret, err := readSecret(path, info)
	if err != nil {
		m.Problem(key, err.Error(), "")
		return ""
	}
	*v = secret
	return path
}

func readSecret(path string, info fs.FileInfo) (string, error) {
	if info.Size() > maxSecret {
		return "", fmt.Errorf("%s is too large for a secret", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	secret := strings.TrimRight(string(data), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// below makes a relative path one below the folder of the file being read.
func (m *Map) below(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(m.r.src.file), path)
}

// stat looks at a regular file and notes when there is none.
func (m *Map) stat(key, path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	switch {
	case err == nil:
		return info, nil
	case os.IsNotExist(err):
		m.Problem(key, fmt.Sprintf("the file %s does not exist", path), "a relative path is below the folder of the configuration file")
	default:
		m.Problem(key, "the file cannot be used: "+err.Error(), "")
	}
	return nil, err
}
