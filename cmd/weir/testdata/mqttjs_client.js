// MQTT.js against a broker: node mqttjs_client.js PORT VERSION(4|5) [ws|wss]; prints ok.
const mqtt = require('mqtt')
const assert = require('assert')

const [port, version] = process.argv.slice(2, 4).map(Number)
const protocol = process.argv[4] || 'mqtt'
const url = `${protocol}://127.0.0.1:${port}`
const within = setTimeout(() => { console.error('timeout'); process.exit(1) }, 120000)

const connect = (clientId, clean, more = {}) => new Promise((resolve, reject) => {
  const options = { clientId, clean, protocolVersion: version, reconnectPeriod: 0, keepalive: 10, rejectUnauthorized: false, ...more }
  if (version === 5 && !clean) options.properties = { sessionExpiryInterval: 300, ...more.properties }
  const client = mqtt.connect(url, options)
  const early = []
  client.on('message', (topic, payload, packet) => early.push([topic, payload.toString(), packet]))
  client.once('connect', ack => resolve({ client, ack, received: early }))
  client.once('error', reject)
})
const done = (f) => new Promise((resolve, reject) => f((err, r) => err ? reject(err) : resolve(r)))
const until = async (what, ok) => {
  for (let i = 0; i < 500 && !ok(); i++) await new Promise(resolve => setTimeout(resolve, 10))
  assert(ok(), what)
}

const id = `mqttjs-${protocol}-${version}`

async function main () {
  let sub = await connect(id, false)
  assert(!sub.ack.sessionPresent)
  const granted = await done(f => sub.client.subscribe({ 'js/#': { qos: 2 } }, f))
  assert.strictEqual(granted[0].qos, 2)
  const pub = await connect(id + '-p', true)
  for (const qos of [0, 1, 2]) {
    await done(f => pub.client.publish('js/value', `v${qos}`, { qos }, f))
    await until(`QoS ${qos}`, () => sub.received.length === qos + 1)
    const [topic, payload, packet] = sub.received[qos]
    assert.deepStrictEqual([topic, payload, packet.qos], ['js/value', `v${qos}`, qos])
  }
  if (version === 5) {
    const properties = { contentType: 'text/plain', userProperties: { a: ['1', '3'], b: '2' }, messageExpiryInterval: 100 }
    await done(f => pub.client.publish('js/props', 'p', { qos: 1, properties }, f))
    await until('properties', () => sub.received.length === 4)
    const got = sub.received[3][2].properties
    assert.strictEqual(got.contentType, 'text/plain')
    assert.deepStrictEqual(Array.from(got.userProperties.a), ['1', '3'])
    assert(got.messageExpiryInterval <= 100)
  }
  await done(f => sub.client.end(false, {}, f))
  for (let i = 0; i < 50; i++) await done(f => pub.client.publish('js/later', String(i), { qos: 1 }, f))
  sub = await connect(id, false)
  assert(sub.ack.sessionPresent, 'the session is gone')
  await until('what came meanwhile', () => sub.received.length === 50)
  assert.deepStrictEqual(sub.received.map(r => r[1]), Array.from({ length: 50 }, (_, i) => String(i)))
  await done(f => sub.client.end(false, {}, f))
  await retained(pub)
  await will(pub)
  await shared(pub)
  await large(pub)
  await unsubscribed(pub)
  if (version === 5) await aliases()
  await done(f => pub.client.end(false, {}, f))
}

async function retained (pub) {
  for (const qos of [0, 1, 2]) await done(f => pub.client.publish(`kept/${qos}`, 'k', { qos, retain: true }, f))
  const c = await connect(`${id}-retained`, true)
  await done(f => c.client.subscribe('kept/+', { qos: 2 }, f))
  await until('retained messages', () => c.received.length === 3)
  assert.deepStrictEqual(c.received.map(([topic, , p]) => [topic, p.qos, p.retain]).sort(), [['kept/0', 0, true], ['kept/1', 1, true], ['kept/2', 2, true]])
  for (const qos of [0, 1, 2]) await done(f => pub.client.publish(`kept/${qos}`, '', { qos, retain: true }, f))
  await until('that they were removed', () => c.received.length === 6)
  const later = await connect(`${id}-later`, true)
  await done(f => later.client.subscribe('kept/+', f))
  await done(f => later.client.publish('kept/end', 'x', f))
  await until('what comes then', () => later.received.length > 0)
  assert.strictEqual(later.received[0][0], 'kept/end')
  await ended(c, later)
}

async function will (pub) {
  const c = await connect(`${id}-heir`, true)
  await done(f => c.client.subscribe('will/#', { qos: 2 }, f))
  for (const qos of [0, 1, 2]) {
    const dying = await connect(`${id}-dying`, true, { will: { topic: 'will/x', payload: Buffer.from([0, qos, 255]), qos, retain: false } })
    dying.client.stream.destroy()
    await until('the will', () => c.received.length === qos + 1)
    assert.strictEqual(c.received[qos][2].qos, qos)
    assert.deepStrictEqual([...c.received[qos][2].payload], [0, qos, 255])
  }
  const polite = await connect(`${id}-polite`, true, { will: { topic: 'will/polite', payload: 'x', qos: 1, retain: false } })
  await ended(polite)
  await done(f => pub.client.publish('will/end', 'x', { qos: 1 }, f))
  await until('the end', () => c.received.length === 4)
  assert.strictEqual(c.received[3][0], 'will/end')
  await ended(c)
}

async function shared (pub) {
  const members = [await connect(`${id}-m1`, true), await connect(`${id}-m2`, true)]
  for (const m of members) await done(f => m.client.subscribe('$share/js/work/#', { qos: 1 }, f))
  const all = () => members.flatMap(m => m.received.map(r => Number(r[1])))
  for (let i = 0; i < 100; i++) await done(f => pub.client.publish('work/x', String(i), { qos: 1 }, f))
  await until('the work', () => all().length >= 100)
  assert.deepStrictEqual(all().sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i))
  for (const m of members) assert(m.received.length >= 20, `one of two had ${m.received.length} of 100`)
  await ended(...members)
}

async function large (pub) {
  const c = await connect(`${id}-large`, true)
  await done(f => c.client.subscribe('large', { qos: 2 }, f))
  const sizes = [0, 127, 128, 16383, 16384, 70000, 1 << 20, 2 * (1 << 20) - 100]
  for (const [i, size] of sizes.entries()) {
    const payload = Buffer.alloc(size, i + 1)
    await done(f => pub.client.publish('large', payload, { qos: i % 3 }, f))
    await until(`${size} bytes`, () => c.received.length === i + 1)
    assert(payload.equals(c.received[i][2].payload), `${size} bytes, altered`)
  }
  await ended(c)
}

async function unsubscribed (pub) {
  const c = await connect(`${id}-un`, true)
  await done(f => c.client.subscribe(['un/a', 'un/b'], { qos: 1 }, f))
  await done(f => c.client.unsubscribe('un/a', f))
  await done(f => pub.client.publish('un/a', 'x', { qos: 1 }, f))
  await done(f => pub.client.publish('un/b', 'x', { qos: 1 }, f))
  await until('one of two', () => c.received.length === 1)
  assert.strictEqual(c.received[0][0], 'un/b')
  await ended(c)
}

// aliases: of both sides, more topics than aliases.
async function aliases () {
  const topics = Array.from({ length: 7 }, (_, i) => `alias/${i}`)
  const c = await connect(`${id}-in`, true, { topicAliasMaximum: 3 })
  await done(f => c.client.subscribe('alias/#', { qos: 1 }, f))
  const p = await connect(`${id}-out`, true, { autoAssignTopicAlias: true })
  const sent = []
  for (let i = 0; i < 60; i++) {
    const topic = topics[(i * i) % 7]
    sent.push(`${topic} ${i}`)
    await done(f => p.client.publish(topic, String(i), { qos: i % 2 }, f))
  }
  await until('what was sent', () => c.received.length === sent.length)
  assert.deepStrictEqual(c.received.map(([topic, payload]) => `${topic} ${payload}`), sent)
  await ended(c, p)
}

const ended = async (...cs) => { for (const c of cs) await done(f => c.client.end(false, {}, f)) }

main().then(() => { clearTimeout(within); console.log('ok') }, err => { console.error(err); process.exit(1) })
