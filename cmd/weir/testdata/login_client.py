"""Logins with paho, each with the answer that it is to get.

    login_client.py PORT VERSION

USER=PASSWORD=CODE lines come on the standard input; an empty password is none.
Prints "ok" when each got its code.
"""
import sys, threading
import paho.mqtt.client as mqtt

port, version = int(sys.argv[1]), int(sys.argv[2])


def login(user, password):
    answered, code = threading.Event(), []

    def on_connect(client, userdata, flags, rc, properties=None):
        code.append(rc.value if hasattr(rc, "value") else rc)
        answered.set()

    c = mqtt.Client(client_id="", protocol=version)
    c.on_connect = on_connect
    if user:
        c.username_pw_set(user, password or None)
    c.connect("127.0.0.1", port, keepalive=30)
    c.loop_start()
    assert answered.wait(10), "no answer"
    c.disconnect()
    c.loop_stop()
    return code[0]


for line in sys.stdin:
    user, password, want = line.rstrip("\n").split("=")
    got = login(user, password)
    assert got == int(want, 0), (user, password, got, want)
print("ok")
