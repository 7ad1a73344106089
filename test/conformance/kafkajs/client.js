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

const actions = {
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
