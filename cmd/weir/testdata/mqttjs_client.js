// MQTT.js against a broker: node mqttjs_client.js PORT VERSION(4|5) [ws|wss]; prints ok.
const mqtt = require('mqtt')
const assert = require('assert')

const [port, version] = process.argv.slice(2, 4).map(Number)
const protocol = process.argv[4] || 'mqtt'
const url = `${protocol}://127.0.0.1:${port}`
const within = setTimeout(() => { console.error('timeout'); process.exit(1) }, 15000)

const connect = (clientId, clean) => new Promise((resolve, reject) => {
  const options = { clientId, clean, protocolVersion: version, reconnectPeriod: 0, keepalive: 10, rejectUnauthorized: false }
  if (version === 5 && !clean) options.properties = { sessionExpiryInterval: 300 }
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

async function main () {
  const id = `mqttjs-${protocol}-${version}`
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
  await done(f => pub.client.end(false, {}, f))
}

main().then(() => { clearTimeout(within); console.log('ok') }, err => { console.error(err); process.exit(1) })
