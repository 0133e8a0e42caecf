"""Paho against a broker: python3 paho_client.py PORT VERSION(4|5); prints ok."""
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, version = int(sys.argv[1]), int(sys.argv[2])
received = queue.Queue()


def connect(name, keep):
    if version == 5:
        client = mqtt.Client(client_id=name, protocol=mqtt.MQTTv5)
    else:
        client = mqtt.Client(client_id=name, protocol=mqtt.MQTTv311, clean_session=not keep)
    up, subscribed = queue.Queue(), queue.Queue()
    client.on_connect = lambda c, u, flags, rc, *p: up.put((int(rc.value if version == 5 else rc), flags["session present"]))
    client.on_subscribe = lambda *a: subscribed.put(True)
    client.on_message = lambda c, u, m: received.put((m.topic, m.payload.decode(), m.qos, m.retain, m))
    if version == 5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 300 if keep else 0
        client.connect("127.0.0.1", port, keepalive=10, clean_start=not keep, properties=properties)
    else:
        client.connect("127.0.0.1", port, keepalive=10)
    client.loop_start()
    code, present = up.get(timeout=120)
    assert code == 0, code
    return client, subscribed, bool(present)


def stop(client):
    client.disconnect()
    client.loop_stop()


def expect(*want):
    got = received.get(timeout=120)
    assert got[: len(want)] == want, (got, want)
    return got[4]


name = "paho-%d" % version
subscriber, subscribed, present = connect(name, keep=True)
assert not present
subscriber.subscribe([("paho/+/value", 2), ("paho/#", 1)])
subscribed.get(timeout=120)
publisher, _, _ = connect(name + "-p", keep=False)
for qos in (0, 1, 2):
    publisher.publish("paho/x/value", "v%d" % qos, qos=qos).wait_for_publish(5)
    got = received.get(timeout=120)
    assert got[:2] == ("paho/x/value", "v%d" % qos), got
    while not received.empty():  # overlapping subscriptions may deliver twice
        received.get()

if version == 5:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("a", "1"), ("b", "2"), ("a", "3")]
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "answer/here"
    properties.CorrelationData = b"\x00\x01"
    publisher.publish("paho/props", "p", qos=1, properties=properties).wait_for_publish(5)
    m = expect("paho/props", "p", 1, False)
    assert m.properties.UserProperty == [("a", "1"), ("b", "2"), ("a", "3")], m.properties
    assert m.properties.ContentType == "text/plain" and m.properties.ResponseTopic == "answer/here"
    assert m.properties.CorrelationData == b"\x00\x01"

stop(subscriber)  # the session stays
for i in range(50):
    publisher.publish("paho/later", str(i), qos=1).wait_for_publish(5)
subscriber, _, present = connect(name, keep=True)
assert present, "the session is gone"
for i in range(50):
    expect("paho/later", str(i), 1, False)
stop(subscriber)
stop(publisher)
print("ok")
