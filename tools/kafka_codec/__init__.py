"""The generator of the Kafka wire codec: schema.py reads proto/kafka/schema, emit_*.py write C++."""
