#include "cli/storage/batch_format.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string_view>

#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

BatchView Sample() {
  BatchBuilder builder({.producer = BatchProducer{ProducerId(1), ProducerEpoch(0), Sequence(4)},
                        .base_offset = Offset(7),
                        .leader_epoch = LeaderEpoch(2)});
  const std::vector<RecordHeaderView> headers = {{BytesOf("h"), BytesOf("x")}};
  builder.Append(Timestamp(1000), BytesOf("a"), BytesOf("1"), headers);
  builder.Append(Timestamp(1005), std::nullopt, std::nullopt);
  return *builder.Build();
}

}  // namespace

TEST_CASE("BatchLine: the layout of kafka-dump-log") {
  const BatchView batch = Sample();
  CHECK(
      BatchLine(batch, 87) ==
      fmt::format("baseOffset: 7 lastOffset: 8 count: 2 baseSequence: 4 lastSequence: 5 "
                  "producerId: 1 producerEpoch: 0 partitionLeaderEpoch: 2 isTransactional: false "
                  "isControl: false deleteHorizonMs: OptionalLong.empty position: 87 "
                  "CreateTime: 1005 size: {} magic: 2 compresscodec: none crc: {} isvalid: true\n",
                  batch.bytes().size(), batch.header().crc));
}

TEST_CASE("RecordLines: the layout of kafka-dump-log --print-data-log") {
  std::string text;
  CHECK(RecordLines(Sample(), text).ok());
  CHECK(text ==
        "| offset: 7 CreateTime: 1000 keySize: 1 valueSize: 1 sequence: 4 headerKeys: [h] key: a "
        "payload: 1\n"
        "| offset: 8 CreateTime: 1005 keySize: -1 valueSize: -1 sequence: 5 headerKeys: []\n");
}

TEST_CASE("RecordLines: the end of a transaction says how it ended") {
  BatchBuilderOptions options;
  options.transactional = true;
  options.control = true;
  options.producer = BatchProducer{ProducerId(9), ProducerEpoch(1), std::nullopt};
  BatchBuilder builder(options);
  builder.Append(Timestamp(5), BytesOf(std::string_view("\0\0\0\1", 4)),
                 BytesOf(std::string_view("\0\0\0\0\0\6", 6)));
  std::string text;
  CHECK(RecordLines(*builder.Build(), text).ok());
  CHECK(text ==
        "| offset: 0 CreateTime: 5 keySize: 4 valueSize: 6 sequence: -1 headerKeys: [] "
        "endTxnMarker: COMMIT coordinatorEpoch: 6\n");
}

TEST_CASE("BatchJson: a batch whose CRC does not hold says so") {
  BatchView batch = Sample();
  JsonWriter json;
  CHECK(BatchJson(batch, 0, /*with_records=*/true, json).ok());
  CHECK(json.text().find(R"("valid":true)") != std::string::npos);
  CHECK(json.text().find(R"({"offset":7,"timestamp":1000,"headers":[{"key":"h","value":"x"}],)"
                         R"("key":"a","value":"1"})") != std::string::npos);
  Slice damaged = Slice::Copy(batch.bytes().span());
  damaged.Patch()[damaged.size() - 1] ^= 1;
  JsonWriter again;
  (void)BatchJson(*BatchView::Parse(damaged), 0, false, again);
  CHECK(again.text().find(R"("valid":false)") != std::string::npos);
}

}  // namespace millrace
