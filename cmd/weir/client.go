package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-edge/weir/core/packet"
)

// clientOptions are the flags that `weir pub` and `weir sub` share; their names
// are those of mosquitto_pub and mosquitto_sub.
type clientOptions struct {
	host      string
	port      int
	id        string
	username  string
	password  string
	passFile  string // has the password, which others would see on the command line
	keepalive int
	version   string
	persist   bool // keep the session: Clean Start 0
	expiry    int64
}

// flags registers the options. The short -h is the host here, as users of
// Mosquitto's clients expect, so --help has no short form.
func (o *clientOptions) flags(f *pflag.FlagSet) {
	f.Bool("help", false, "show this help")
	f.StringVarP(&o.host, "host", "h", "127.0.0.1", "broker to connect to")
	f.IntVarP(&o.port, "port", "p", 1883, "its port")
	f.StringVarP(&o.id, "id", "i", "", "client id; the broker chooses one if it is empty")
	f.StringVarP(&o.username, "username", "u", "", "user name")
	f.StringVarP(&o.password, "pw", "P", "", "password; others on this machine see it")
	f.StringVar(&o.passFile, "password-file", "", "file with the password, instead")
	f.IntVarP(&o.keepalive, "keepalive", "k", 60, "keep-alive in seconds")
	f.StringVarP(&o.version, "protocol-version", "V", "5", "MQTT version: 31, 311 or 5")
}

func (o *clientOptions) protocol() (packet.Version, error) {
	switch o.version {
	case "5", "mqttv5":
		return packet.V5, nil
	case "311", "3.1.1", "mqttv311":
		return packet.V311, nil
	case "31", "3.1", "mqttv31":
		return packet.V31, nil
	}
	return 0, usageError{fmt.Errorf("unknown MQTT version %q: use 31, 311 or 5", o.version)}
}

// client is a plain MQTT client for the command line: the caller reads packets
// one by one; writing is safe from several goroutines.
type client struct {
	conn    net.Conn
	in      *bufio.Reader
	version packet.Version

	// set by the handshake
	receiveMaximum int // how many QoS > 0 messages the broker takes at a time

	mu  sync.Mutex // guards out and the order of writes
	out []byte

	nextID uint16 // owned by the sender
}

// maxClientPacket bounds what the command line accepts from a broker.
const maxClientPacket = 256 << 20

// dial connects and waits for the CONNACK.
func dial(ctx context.Context, o clientOptions) (*client, error) {
	v, err := o.protocol()
	if err != nil {
		return nil, err
	}
	if o.passFile != "" {
		password, err := os.ReadFile(o.passFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("read the password: %w", err)}
		}
		o.password = strings.TrimRight(string(password), "\r\n")
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(o.host, strconv.Itoa(o.port)))
	if err != nil {
		return nil, unavailableError{fmt.Errorf("connect to the broker: %w", err)}
	}
	c := &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), version: v}
	if err := c.handshake(o); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) handshake(o clientOptions) error {
	if o.id == "" && c.version == packet.V31 {
		o.id = fmt.Sprintf("weir-%d", os.Getpid()) // 3.1 has no empty client id
	}
	hello := &packet.Connect{
		Version:    c.version,
		CleanStart: !o.persist,
		Keepalive:  uint16(o.keepalive),
		ClientID:   []byte(o.id),
	}
	if o.username != "" {
		hello.HasUsername, hello.Username = true, []byte(o.username)
	}
	if o.password != "" {
		hello.HasPassword, hello.Password = true, []byte(o.password)
	}
	if o.persist && c.version == packet.V5 {
		expiry := uint32(o.expiry)
		hello.Properties = &packet.Properties{SessionExpiry: &expiry}
	}
	if err := c.send(hello); err != nil {
		return err
	}
	p, err := c.receive(10 * time.Second)
	if err != nil {
		return fmt.Errorf("wait for the broker's answer: %w", err)
	}
	ack, ok := p.(*packet.Connack)
	if !ok {
		return fmt.Errorf("the broker answered with packet type %d instead of CONNACK", p.Type())
	}
	if ack.Reason != 0 {
		return fmt.Errorf("connection refused: %s", connackText(c.version, ack.Reason))
	}
	c.receiveMaximum = 65535
	if p := ack.Properties; p != nil && p.ReceiveMaximum != nil {
		c.receiveMaximum = int(*p.ReceiveMaximum)
	}
	return nil
}

// connackText says in words why a connection was refused.
func connackText(v packet.Version, r packet.Reason) string {
	if v == packet.V5 {
		return r.String()
	}
	texts := []string{"accepted", "unacceptable protocol version", "identifier rejected", "server unavailable", "bad user name or password", "not authorised"}
	if int(r) < len(texts) {
		return texts[r]
	}
	return fmt.Sprintf("return code %d", byte(r))
}

// send writes one packet.
func (c *client) send(p packet.Packet) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = p.AppendTo(c.out[:0], c.version)
	_, err := c.conn.Write(c.out)
	return err
}

// receive reads the next packet; timeout 0 waits for ever. The packet owns its bytes.
func (c *client) receive(timeout time.Duration) (packet.Packet, error) {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	h, err := c.header()
	if err != nil {
		return nil, err
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return nil, err
	}
	return packet.Parse(h, body, c.version)
}

// header reads the fixed header, a byte at a time since its length is in it.
func (c *client) header() (packet.Header, error) {
	var b [5]byte
	for i := range b {
		var err error
		if b[i], err = c.in.ReadByte(); err != nil {
			return packet.Header{}, err
		}
		h, n, err := packet.ReadHeader(b[:i+1])
		if err != nil {
			return packet.Header{}, err
		}
		if n > 0 {
			if h.Length > maxClientPacket {
				return packet.Header{}, fmt.Errorf("the broker sent a packet of %d bytes", h.Length)
			}
			return h, nil
		}
	}
	return packet.Header{}, errors.New("malformed packet length")
}

// packetID gives the next packet identifier, never 0.
func (c *client) packetID() uint16 {
	c.nextID++
	if c.nextID == 0 {
		c.nextID = 1
	}
	return c.nextID
}

// keepAlive sends PINGREQ until ctx ends. The broker's answers reach receive.
func (c *client) keepAlive(ctx context.Context, every time.Duration) {
	if every <= 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c.send(&packet.Pingreq{}) != nil {
				return // the reader sees the broken connection too
			}
		}
	}
}

// close says goodbye and closes the connection.
func (c *client) close() error {
	_ = c.send(&packet.Disconnect{}) // the connection may be gone already
	return c.conn.Close()
}
