package bridge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weir-edge/weir/core"
)

// Azure IoT Hub speaks MQTT with topics and a login of its own. What is published
// goes to one topic, with a bag of properties behind it; the topic that the message
// had here is one of them.

// sasLifetime is how long a token is good. It is made anew for each connection,
// and the connection is, before the token ends.
const sasLifetime = time.Hour

// login is user name and password for a connection to s.
func (b *Bridge) login(s *server, now time.Time) (user, password string, err error) {
	user, password = b.cfg.Username, current(b.cfg.PasswordFile, b.cfg.Password)
	if !b.preset.azure {
		return user, password, nil
	}
	setDefault(&user, s.host+"/"+b.cfg.ClientID+"/?api-version=2021-04-12")
	if key := current(b.cfg.SASKeyFile, b.cfg.SASKey); key != "" {
		password, err = sasToken(s.host+"/devices/"+b.cfg.ClientID, key, now.Add(sasLifetime))
	}
	return user, password, err
}

// current is the secret in a file, or the one that was known before.
func current(file, before string) string {
	if file == "" {
		return before
	}
	data, err := os.ReadFile(file)
	if secret := strings.TrimRight(string(data), "\r\n"); err == nil && secret != "" {
		return secret
	}
	return before
}

// sasToken is a shared access signature for a resource.
func sasToken(resource, key string, end time.Time) (string, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	if err != nil {
		return "", fmt.Errorf("sas_key: it is not base64: %w", err)
	}
	sr, se := url.QueryEscape(resource), strconv.FormatInt(end.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(sr + "\n" + se))
	sig := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return "SharedAccessSignature sr=" + sr + "&sig=" + url.QueryEscape(sig) + "&se=" + se, nil
}

// azureTopic is where a device publishes a message, with its properties.
func azureTopic(clientID, name string, m *core.Message) string {
	var b strings.Builder
	b.WriteString("devices/" + clientID + "/messages/events/")
	bag := []string{"topic", name}
	if p := m.Properties; p != nil {
		if p.ContentType != "" {
			bag = append(bag, "$.ct", p.ContentType)
		}
		if p.UTF8Payload {
			bag = append(bag, "$.ce", "utf-8")
		}
		for _, u := range p.User {
			bag = append(bag, u.Name, u.Value)
		}
	}
	if m.Retain {
		bag = append(bag, "mqtt-retain", "true")
	}
	for i := 0; i < len(bag); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(azureEscape(bag[i]) + "=" + azureEscape(bag[i+1]))
	}
	return b.String()
}

// azureEscape leaves the $ of system properties alone.
func azureEscape(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	return strings.Replace(s, "%24.", "$.", 1)
}
