// A member of a consumer group that says what happens to it in the words of confluent/member.py, commits after each record, and
// reads until its standard input says `close` or ends.
//
//   node member.js BOOTSTRAP GROUP TOPIC
const { Kafka, logLevel } = require('kafkajs')

const [bootstrap, groupId, topic] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'kafkajs-member', brokers: bootstrap.split(','), logLevel: logLevel.NOTHING,
                          connectionTimeout: 1000 })
// Few retries: a commit asks the coordinator that was, again and again, also where metadata knows it no more; a consumer that has
// given up begins anew, and looks for another one.
const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 10000, maxWaitTimeInMs: 100,
                                  metadataMaxAge: 2000, retry: { initialRetryTime: 100, maxRetryTime: 200, retries: 2 } })

function say(event, values) {
  process.stdout.write(JSON.stringify({ event, at: Date.now() / 1000, ...values }) + '\n')
}

// kafkajs tells of an assignment without its generation, and of the generation with whatever is done in it first.
let joined = null
let told = null

function revoked() {
  if (told !== null) say('revoked', told)
  joined = told = null
}

function inGeneration({ payload }) {
  if (joined === null || joined.memberId !== payload.memberId) return
  const partitions = joined.memberAssignment[topic] || []
  joined = null
  if (partitions.length === 0) return
  told = { partitions: partitions.sort((a, b) => a - b), generation: payload.groupGenerationId, member: payload.memberId }
  say('assigned', told)
}

consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
  revoked()
  joined = payload
})
consumer.on(consumer.events.HEARTBEAT, inGeneration)
consumer.on(consumer.events.COMMIT_OFFSETS, inGeneration)
consumer.on(consumer.events.REBALANCING, revoked)
consumer.on(consumer.events.CRASH, ({ payload }) => {
  revoked()
  say('client error', { name: cause(payload.error), restart: payload.restart })
  if (!payload.restart) process.exit(1)
})

// The one that others wrap.
function cause(error) {
  return error.cause ? cause(error.cause) : error.type || error.code || error.name
}

async function read(partition, message) {
  const next = String(BigInt(message.offset) + 1n)
  say('record', { partition, offset: Number(message.offset), value: String(message.value) })
  try {
    await consumer.commitOffsets([{ topic, partition, offset: next }])
  } catch (error) {
    say('committed', { error: cause(error), offsets: { [partition]: Number(next) } })
    throw error // It comes again, here or where the partition goes.
  }
  say('committed', { error: null, offsets: { [partition]: Number(next) } })
}

async function main() {
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ autoCommit: false, eachMessage: ({ partition, message }) => read(partition, message) })
}

let input = ''
async function close() {
  await consumer.disconnect()
  say('closed', {})
  process.exit(0)
}
process.stdin.on('data', data => {
  input += data
  if (input.split('\n').includes('close')) close()
})
process.stdin.on('end', close)
main()
