// The text format of server.properties and meta.properties: Java's .properties.
//
//   # or ! starts a comment line           key=value  key:value  key value
//   a backslash at the end of a line continues it (leading blanks of the next line are dropped)
//   \t \n \r \f \uXXXX and \<any other character> are escapes, in keys and in values
//
// Pure: text in, settings out. Bytes above 0x7F are taken as UTF-8 (Java reads Latin-1; Kafka's own
// values are ASCII). Blanks at the end of a value belong to the value; whoever gives it a type
// trims it.
//
// Bounds:  the caller's text; the result is never larger than a small multiple of it.
// Errors:  a malformed \u escape is reported with its line; everything else is some key and value.
// Source:  java.util.Properties.load, as specified in the Java SE 17 API documentation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

struct Property {
  std::string key;
  std::string value;
  int line;  // The first line it stands on, counted from 1.

  friend bool operator==(const Property&, const Property&) = default;
};

struct PropertiesRemark {
  int line;
  std::string text;

  friend bool operator==(const PropertiesRemark&, const PropertiesRemark&) = default;
};

struct PropertiesFile {
  // In file order, each key once: of a key set twice the last one stands, at its own place.
  std::vector<Property> properties;
  std::vector<PropertiesRemark> warnings;  // Keys set twice.
  std::vector<PropertiesRemark> errors;    // Not empty: do not use `properties`.
};

PropertiesFile ParseProperties(std::string_view text);

// One "key=value\n" that ParseProperties reads back as given.
std::string PrintProperty(std::string_view key, std::string_view value);

}  // namespace millrace
