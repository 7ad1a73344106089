// Fills a topic of a running Kafka so that its log directory holds what a broker has to understand:
// five codecs, idempotent producers, transactions committed, aborted, empty and left open, several
// segments. Values say where they are: "<kind>-<number>". How to run it: README.md beside this file.
//
//   java -cp CLIENTS KafkaLog.java BOOTSTRAP TOPIC
//
// Prints one line per record that a reader finds, in order: offset, isolation ("committed" or "uncommitted": only a
// READ_UNCOMMITTED reader sees it), value.
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class KafkaLog {
  static String bootstrap;
  static String topic;

  static KafkaProducer<String, String> producer(String codec, String transaction) {
    Properties p = new Properties();
    p.put("bootstrap.servers", bootstrap);
    p.put("compression.type", codec);
    p.put("linger.ms", "100");
    p.put("key.serializer", StringSerializer.class.getName());
    p.put("value.serializer", StringSerializer.class.getName());
    if (transaction != null) p.put("transactional.id", transaction);
    KafkaProducer<String, String> made = new KafkaProducer<>(p);
    if (transaction != null) made.initTransactions();
    return made;
  }

  static void send(KafkaProducer<String, String> to, String kind, int count) {
    for (int i = 0; i < count; ++i) {
      to.send(new ProducerRecord<>(topic, 0, 1700000000000L + i, "k" + i, kind + "-" + i + " " + "x".repeat(30)));
    }
    to.flush();
  }

  public static void main(String[] args) throws Exception {
    bootstrap = args[0];
    topic = args[1];
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      NewTopic wanted = new NewTopic(topic, 1, (short) 1);
      wanted.configs(Map.of("index.interval.bytes", "256", "segment.index.bytes", "64", "retention.ms", "-1"));
      admin.createTopics(List.of(wanted)).all().get();
    }
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      try (KafkaProducer<String, String> p = producer(codec, null)) {
        for (int batch = 0; batch < 4; ++batch) send(p, codec + batch, 12);
      }
    }
    KafkaProducer<String, String> a = producer("none", "txn-a");
    KafkaProducer<String, String> b = producer("zstd", "txn-b");
    KafkaProducer<String, String> left = producer("none", "txn-open");
    for (int round = 0; round < 6; ++round) {
      a.beginTransaction();
      b.beginTransaction();
      send(a, "a" + round, 20);
      send(b, "b" + round, 20);
      send(a, "aa" + round, 10);
      if (round % 2 == 0) a.abortTransaction(); else a.commitTransaction();
      send(b, "bb" + round, 20);
      if (round % 3 == 0) b.commitTransaction(); else b.abortTransaction();
    }
    if (args.length > 2 && args[2].equals("open")) {
      left.beginTransaction();
      send(left, "open", 5);
    }
    try (KafkaProducer<String, String> p = producer("none", null)) {
      send(p, "last", 10);
    }
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      admin.deleteRecords(Map.of(new TopicPartition(topic, 0), RecordsToDelete.beforeOffset(30))).all().get();
      admin.describeProducers(List.of(new TopicPartition(topic, 0))).all().get().get(new TopicPartition(topic, 0)).activeProducers().stream()
          .sorted(Comparator.comparing(ProducerState::producerId))
          .forEach(state -> System.out.println("producer " + state.producerId() + " " + state.producerEpoch() + " " + state.lastSequence() + " "
              + state.coordinatorEpoch().orElse(-1) + " " + state.currentTransactionStartOffset().orElse(-1L)));
    }
    print("read_uncommitted");
    print("read_committed");
    Runtime.getRuntime().halt(0);  // The open transaction is left to its time-out.
  }

  static void print(String isolation) {
    Properties p = new Properties();
    p.put("bootstrap.servers", bootstrap);
    p.put("isolation.level", isolation);
    p.put("key.deserializer", StringDeserializer.class.getName());
    p.put("value.deserializer", StringDeserializer.class.getName());
    try (KafkaConsumer<String, String> c = new KafkaConsumer<>(p)) {
      TopicPartition tp = new TopicPartition(topic, 0);
      c.assign(List.of(tp));
      c.seekToBeginning(List.of(tp));
      long end = c.endOffsets(List.of(tp)).get(tp);
      while (c.position(tp) < end) {
        for (ConsumerRecord<String, String> r : c.poll(java.time.Duration.ofMillis(200))) {
          System.out.println(isolation + " " + r.offset() + " " + r.timestamp() + " " + r.key() + " " + r.value());
        }
      }
      System.out.println(isolation + " end " + end);
    }
  }
}
