// What the kafkajs tests run: one action against one topic, its result as JSON.
//
//   node client.js BOOTSTRAP ACTION TOPIC
const { Kafka, CompressionTypes, logLevel } = require('kafkajs')

const [bootstrap, action, topic] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'kafkajs-test', brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 3 } })

async function produce(settings, options) {
  const producer = kafka.producer(settings)
  await producer.connect()
  const messages = Array.from({ length: 100 }, (_, n) => ({
    key: `k${n}`, value: `v${n}`, partition: 0, timestamp: String(1700000000000 + n), headers: { n: String(n) },
  }))
  const answers = []
  for (let start = 0; start < messages.length; start += 10) {
    const [answer] = await producer.send({ topic, acks: -1, messages: messages.slice(start, start + 10), ...options })
    answers.push([answer.errorCode, Number(answer.baseOffset)])
  }
  await producer.disconnect()
  return answers
}

async function outcome(promise) {
  try {
    return await promise
  } catch (error) {
    return (error.errors ? error.errors[0] : error).type
  }
}

// A consumer of the group: what it reads, how many partitions it has, and a promise that fails when it crashes.
async function member(groupId) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 300, rebalanceTimeout: 10000,
                                    maxWaitTimeInMs: 100 })
  const one = { values: [], owned: -1, consumer }
  consumer.on(consumer.events.GROUP_JOIN, event => { one.owned = (event.payload.memberAssignment[topic] || []).length })
  one.crash = new Promise((_, failed) => consumer.on(consumer.events.CRASH, event => failed(event.payload.error)))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => { one.values.push(String(message.value)) } })
  return one
}

// Deadlines are the test's: it ends us.
async function until(condition, ...members) {
  const held = (async () => { while (!condition()) await new Promise(done => setTimeout(done, 20)) })()
  await Promise.race([held, ...members.map(one => one.crash)])
}

async function spread(from, to) {
  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: to - from }, (_, n) => ({ value: String(from + n), partition: n % 4 }))
  await producer.send({ topic, acks: -1, messages })
  await producer.disconnect()
}

const actions = {
  // On a topic of four partitions.
  async group() {
    const groupId = `${topic}-group`
    await spread(0, 40)
    const first = await member(groupId)
    await until(() => first.values.length === 40, first)
    const second = await member(groupId)
    await until(() => first.owned === 2 && second.owned === 2, first, second)
    await spread(40, 80)
    await until(() => first.values.length + second.values.length === 80, first, second)
    await second.consumer.disconnect()
    await until(() => first.owned === 4, first)
    await spread(80, 120)
    await until(() => first.values.length + second.values.length === 120, first)
    const admin = kafka.admin()
    await admin.connect()
    const described = (await admin.describeGroups([groupId])).groups[0]
    const seen = { state: described.state, members: described.members.length, protocol: described.protocolType }
    seen.busy = await outcome(admin.deleteGroups([groupId]).catch(error => { throw error.groups[0].error || error }))
    await first.consumer.disconnect()
    const committed = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions
      .sort((a, b) => a.partition - b.partition).map(one => Number(one.offset))
    seen.committed = await committed()
    await admin.resetOffsets({ groupId, topic, earliest: true })
    seen.reset = await committed()
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 1, offset: '7' }] })
    seen.set = await committed()
    seen.listed = (await admin.listGroups()).groups.some(one => one.groupId === groupId)
    await admin.deleteGroups([groupId])
    seen.gone = !(await admin.listGroups()).groups.some(one => one.groupId === groupId)
    await admin.disconnect()
    seen.values = first.values.concat(second.values).map(Number).sort((a, b) => a - b)
    return seen
  },

  plain: () => produce({}, {}),
  gzip: () => produce({}, { compression: CompressionTypes.GZIP }),
  idempotent: () => produce({ idempotent: true, maxInFlightRequests: 1 }, {}),

  async admin() {
    const admin = kafka.admin()
    await admin.connect()
    const create = { topics: [{ topic, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] }
    const seen = { create: await admin.createTopics(create), again: await admin.createTopics(create) }
    seen.bad = await outcome(admin.createTopics({ topics: [{ topic: 'no/slash' }] }))
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
    const metadata = await admin.fetchTopicMetadata({ topics: [topic] })
    seen.partitions = metadata.topics[0].partitions.map(one => [one.partitionId, one.replicas.length, one.isr.length]).sort()
    seen.listed = (await admin.listTopics()).includes(topic)
    const configs = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic }] })
    seen.retention = configs.resources[0].configEntries.find(one => one.configName === 'retention.ms').configValue
    seen.offsets = (await admin.fetchTopicOffsets(topic)).map(one => [one.partition, one.low, one.high]).sort()
    const cluster = await admin.describeCluster()
    seen.brokers = cluster.brokers.map(one => `${one.host}:${one.port}`)
    seen.controller = cluster.brokers.some(one => one.nodeId === cluster.controller)
    await admin.deleteTopics({ topics: [topic] })
    seen.gone = !(await admin.listTopics()).includes(topic)
    await admin.disconnect()
    return seen
  },

  async times() {
    const admin = kafka.admin()
    await admin.connect()
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, 1700000000050)
    await admin.disconnect()
    return found.map(one => [one.partition, Number(one.offset)])
  },
}

actions[action]().then(result => console.log(JSON.stringify(result)), error => {
  console.error(error)
  process.exit(1)
})
