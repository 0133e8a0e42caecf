"""An MQTT 5 client that logs in with SCRAM-SHA-256, from the standards alone.

    scram_client.py PORT USER PASSWORD

It checks the server's own proof, authenticates once more on the same connection,
publishes and reads what it has published, and prints "ok"; where it is refused it
prints the reason code.
"""
import base64, hashlib, hmac, os, socket, struct, sys

CONNECT, CONNACK, PUBLISH, SUBSCRIBE, DISCONNECT, AUTH = 1, 2, 3, 8, 14, 15
METHOD, DATA = 0x15, 0x16


def text(b):
    return struct.pack(">H", len(b)) + b


def varint(n):
    out = b""
    while True:
        n, low = n >> 7, n & 0x7F
        out += bytes([low | (0x80 if n else 0)])
        if not n:
            return out


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.stream = self.sock.makefile("rb")

    def send(self, kind, body, flags=0):
        self.sock.sendall(bytes([kind << 4 | flags]) + varint(len(body)) + body)

    def receive(self):
        first = self.stream.read(1)
        if not first:
            return None, b""
        length, shift = 0, 0
        while True:
            b = self.stream.read(1)[0]
            length |= (b & 0x7F) << shift
            shift += 7
            if not b & 0x80:
                break
        return first[0] >> 4, self.stream.read(length)


def properties(data):
    return varint(len(data)) + data


def auth_properties(data):
    return properties(bytes([METHOD]) + text(b"SCRAM-SHA-256") + bytes([DATA]) + text(data))


def auth_data(body):
    """What stands behind the property of the method; its value."""
    at = body.index(bytes([METHOD]) + text(b"SCRAM-SHA-256"))
    at = body.index(bytes([DATA]), at + 3 + len("SCRAM-SHA-256"))
    n = struct.unpack(">H", body[at + 1:at + 3])[0]
    return body[at + 3:at + 3 + n]


class Scram:
    def __init__(self, user, password):
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = "n=%s,r=%s" % (user.replace("=", "=3D").replace(",", "=2C"), self.nonce)

    def first(self):
        return ("n,," + self.bare).encode()

    def last(self, challenge):
        fields = dict(f.split("=", 1) for f in challenge.decode().split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        without = "c=biws,r=" + fields["r"]
        message = ",".join([self.bare, challenge.decode(), without]).encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        self.expected = b"v=" + base64.b64encode(server)
        return (without + ",p=" + base64.b64encode(proof).decode()).encode()


def refused(code):
    print("refused 0x%02x" % code)
    sys.exit(1)


def main(port, user, password):
    c, s = Client(port), Scram(user, password)
    c.send(CONNECT, text(b"MQTT") + bytes([5, 2]) + struct.pack(">H", 60) + auth_properties(s.first()) + text(b"scram"))
    kind, body = c.receive()
    if kind == CONNACK:
        refused(body[1])
    assert kind == AUTH and body[0] == 0x18, (kind, body)
    c.send(AUTH, bytes([0x18]) + auth_properties(s.last(auth_data(body))))
    kind, body = c.receive()
    assert kind == CONNACK, (kind, body)
    if body[1]:
        refused(body[1])
    assert auth_data(body) == s.expected, "the server does not know the password"

    again = Scram(user, password)
    c.send(AUTH, bytes([0x19]) + auth_properties(again.first()))
    kind, body = c.receive()
    assert kind == AUTH and body[0] == 0x18, (kind, body)
    c.send(SUBSCRIBE, struct.pack(">H", 1) + properties(b"") + text(b"scram/t") + b"\0", 2)
    kind, suback = c.receive()
    assert kind == 9 and suback[-1] == 0, (kind, suback)
    c.send(AUTH, bytes([0x18]) + auth_properties(again.last(auth_data(body))))
    kind, body = c.receive()
    assert kind == AUTH and body[0] == 0, (kind, body)
    assert auth_data(body) == again.expected

    c.send(PUBLISH, text(b"scram/t") + properties(b"") + b"hello")
    kind, body = c.receive()
    assert kind == PUBLISH and body.endswith(b"hello"), (kind, body)
    c.send(AUTH, bytes([0x19]) + auth_properties(Scram("nobody", "x").first()))
    kind, body = c.receive()
    assert kind == AUTH, (kind, body)
    c.send(AUTH, bytes([0x18]) + auth_properties(b"c=biws,r=x,p=AAAA"))
    kind, body = c.receive()
    assert kind == DISCONNECT and body[0] == 0x86, (kind, body)
    assert c.receive() == (None, b"")
    print("ok")


main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
