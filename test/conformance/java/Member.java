import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a consumer group by Apache Kafka's own client: says what happens to it in the words of confluent/member.py, commits after
 * each record, and reads until its standard input says `close` or ends.
 *
 *     java Member BOOTSTRAP GROUP TOPIC [NAME=VALUE of the consumer's configuration]...
 */
public final class Member {
  private static volatile boolean closing;

  /** `fields` is the inside of a JSON object. */
  private static void say(String event, String fields) {
    System.out.printf("{\"event\": \"%s\", \"at\": %.6f%s%s}%n", event, System.currentTimeMillis() / 1000.0, fields.isEmpty() ? "" : ", ",
        fields);
    System.out.flush();
  }

  private static ConsumerRebalanceListener listener(Consumer<String, String> consumer) {
    return new ConsumerRebalanceListener() {
      private void rebalanced(String event, Collection<TopicPartition> partitions) {
        if (partitions.isEmpty()) return;
        List<Integer> numbers = partitions.stream().map(TopicPartition::partition).sorted().collect(Collectors.toList());
        ConsumerGroupMetadata group = consumer.groupMetadata();
        say(event, String.format("\"partitions\": %s, \"generation\": %d, \"member\": \"%s\"", numbers, group.generationId(),
            group.memberId()));
      }

      @Override
      public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        rebalanced("assigned", partitions);
      }

      @Override
      public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        rebalanced("revoked", partitions);
      }

      @Override
      public void onPartitionsLost(Collection<TopicPartition> partitions) {
        rebalanced("lost", partitions);
      }
    };
  }

  private static void read(Consumer<String, String> consumer, ConsumerRecord<String, String> record) {
    say("record", String.format("\"partition\": %d, \"offset\": %d, \"value\": \"%s\"", record.partition(), record.offset(),
        record.value()));
    String problem = "null";
    try {
      consumer.commitSync(Map.of(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1)),
          Duration.ofSeconds(5));
    } catch (KafkaException failed) {
      problem = "\"" + failed.getClass().getSimpleName() + "\"";
    }
    say("committed", String.format("\"error\": %s, \"offsets\": {\"%d\": %d}", problem, record.partition(), record.offset() + 1));
  }

  public static void main(String[] words) {
    Properties settings = new Properties();
    settings.putAll(Map.of("bootstrap.servers", words[0], "group.id", words[1], "auto.offset.reset", "earliest", "enable.auto.commit",
        "false", "max.poll.records", "10", "metadata.max.age.ms", "2000", "reconnect.backoff.max.ms", "500"));
    for (int i = 3; i < words.length; ++i) {
      settings.put(words[i].split("=", 2)[0], words[i].split("=", 2)[1]);
    }
    Thread commands = new Thread(() -> {
      BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
      closing = lines.lines().anyMatch("close"::equals) || true;
    });
    commands.setDaemon(true);
    commands.start();
    StringDeserializer text = new StringDeserializer();
    try (Consumer<String, String> consumer = new KafkaConsumer<>(settings, text, text)) {
      consumer.subscribe(List.of(words[2]), listener(consumer));
      while (!closing) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) {
          read(consumer, record);
        }
      }
    }
    say("closed", "");
  }
}
