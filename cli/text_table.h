// TextTable: columns for people: as wide as their widest cell, two spaces apart, numbers to the
// right.
//
// Shard: any; pure.
#pragma once

#include <string>
#include <vector>

namespace millrace {

class TextTable {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // REQUIRES: as many cells as columns.
  void AddRow(std::vector<std::string> cells);

  // Titles and rows, a line each, without blanks at their ends.
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace millrace
