// Writes record batches with Kafka's own Java client, as the golden files of storage/golden_batches_test.cc:
// one line per batch, {"<name>", "<hex>"}, for a C++ table. How to run it: README.md beside this file.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

public class GoldenBatches {
  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static MemoryRecordsBuilder builder(
      Compression compression, TimestampType type, long producer, short epoch, int sequence, boolean txn) {
    return MemoryRecords.builder(
        ByteBuffer.allocate(1024), RecordBatch.MAGIC_VALUE_V2, compression, type, 0L,
        type == TimestampType.LOG_APPEND_TIME ? 1700000009000L : RecordBatch.NO_TIMESTAMP, producer, epoch,
        sequence, txn, 7);
  }

  static void print(String name, MemoryRecordsBuilder builder) {
    ByteBuffer buffer = builder.build().buffer();
    byte[] bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    print(name, bytes);
  }

  static void print(String name, byte[] bytes) {
    System.out.println("{\"" + name + "\", \"" + HexFormat.of().formatHex(bytes) + "\"},");
  }

  // Three records: key, value and headers; a null value; a null key with an empty value.
  static void three(MemoryRecordsBuilder builder) {
    builder.append(1700000000000L, utf8("k0"), utf8("value zero"),
        new Header[] {new RecordHeader("h", utf8("x")), new RecordHeader("null", null)});
    builder.append(1700000000500L, utf8("k1"), null);
    builder.append(1699999999000L, null, utf8(""));
  }

  static void printCodec(String name, Compression compression) {
    MemoryRecordsBuilder small =
        builder(compression, TimestampType.CREATE_TIME, -1L, (short) -1, -1, false);
    three(small);
    print(name, small);
    // 600 records of 200 bytes: several blocks in every framing.
    MemoryRecordsBuilder large =
        builder(compression, TimestampType.CREATE_TIME, -1L, (short) -1, -1, false);
    for (int i = 0; i < 600; ++i) {
      byte[] value = new byte[200];
      Arrays.fill(value, (byte) ('a' + i % 26));
      large.append(1700000000000L + i, utf8("key-" + i), value);
    }
    if (!name.equals("none")) print(name + "-large", large);
  }

  public static void main(String[] args) {
    printCodec("none", Compression.NONE);
    printCodec("gzip", Compression.gzip().build());
    printCodec("snappy", Compression.snappy().build());
    printCodec("lz4", Compression.lz4().build());
    printCodec("zstd", Compression.zstd().build());

    MemoryRecordsBuilder idempotent =
        builder(Compression.NONE, TimestampType.CREATE_TIME, 4242L, (short) 3, 2147483646, false);
    three(idempotent);
    print("idempotent", idempotent);

    MemoryRecordsBuilder transactional =
        builder(Compression.NONE, TimestampType.CREATE_TIME, 4242L, (short) 3, 0, true);
    three(transactional);
    print("transactional", transactional);

    MemoryRecordsBuilder appendTime =
        builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, -1L, (short) -1, -1, false);
    three(appendTime);
    print("append-time", appendTime);

    MemoryRecords marker = MemoryRecords.withEndTransactionMarker(
        100L, 1700000000000L, 7, 4242L, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 9));
    byte[] bytes = new byte[marker.sizeInBytes()];
    marker.buffer().get(bytes);
    print("commit-marker", bytes);
  }
}
