// PersistentMap<Key, Value>: an immutable ordered map; "changing" it makes a new map that shares
// all but O(log n) nodes with the old one. Metadata images are made of these, so that publishing a
// change costs O(changed) and readers keep whatever image they hold.
//
// Shard:    any: nodes are immutable and shared; the count of shared_ptr is atomic.
// Order:    by Key's operator<; the same in every process, because balance depends on keys alone (a
// treap whose
//           priorities are hashes of the keys).
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "common/uuid.h"

namespace millrace {

// 64 mixed bits of a key; FNV-1a and a finaliser, so that the result is the same in every process.
inline uint64_t StablePriority(std::string_view key) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : key) hash = (hash ^ c) * 0x100000001b3ULL;
  hash ^= hash >> 32;
  hash *= 0x9E3779B97F4A7C15ULL;
  return hash ^ (hash >> 29);
}
inline uint64_t StablePriority(int64_t key) {
  uint64_t hash = static_cast<uint64_t>(key) * 0x9E3779B97F4A7C15ULL;
  return (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
}
inline uint64_t StablePriority(const Uuid& key) {
  return StablePriority(static_cast<int64_t>(key.high() ^ (key.low() * 31)));
}

template <typename Key, typename Value>
class PersistentMap {
 public:
  PersistentMap() = default;

  size_t size() const { return root_ == nullptr ? 0 : root_->size; }
  bool empty() const { return root_ == nullptr; }

  // The value of `key`, or null. Valid while this map (or one that shares the node) lives.
  template <typename K>
  const Value* Find(const K& key) const {
    const Node* node = root_.get();
    while (node != nullptr) {
      if (key < node->key) {
        node = node->left.get();
      } else if (node->key < key) {
        node = node->right.get();
      } else {
        return &node->value;
      }
    }
    return nullptr;
  }

  // A map like this one in which `key` has `value`.
  PersistentMap With(Key key, Value value) const {
    auto [less, equal, greater] = Split(root_, key);
    uint64_t priority = StablePriority(key);
    auto node =
        std::make_shared<const Node>(std::move(key), std::move(value), priority, nullptr, nullptr);
    return PersistentMap(Join(Join(less, node), greater));
  }

  // A map like this one without `key`.
  PersistentMap Without(const Key& key) const {
    auto [less, equal, greater] = Split(root_, key);
    return PersistentMap(Join(less, greater));
  }

  // Calls visit(key, value) in order, from the first key that is not less than `from` (or the first
  // of all), until it returns false.
  template <typename Visit>
  void ForEach(Visit visit) const {
    Walk(root_.get(), visit);
  }
  template <typename K, typename Visit>
  void ForEachFrom(const K& from, Visit visit) const {
    WalkFrom(root_.get(), from, visit);
  }

 private:
  struct Node;
  using Link = std::shared_ptr<const Node>;
  struct Node {
    Node(Key k, Value v, uint64_t p, Link l, Link r)
        : key(std::move(k)),
          value(std::move(v)),
          priority(p),
          size(1 + (l ? l->size : 0) + (r ? r->size : 0)),
          left(std::move(l)),
          right(std::move(r)) {}
    Key key;
    Value value;
    uint64_t priority;
    size_t size;
    Link left;
    Link right;
  };
  struct Parts {
    Link less;
    Link equal;
    Link greater;
  };

  explicit PersistentMap(Link root) : root_(std::move(root)) {}

  static Link Copy(const Node& node, Link left, Link right) {
    return std::make_shared<const Node>(node.key, node.value, node.priority, std::move(left),
                                        std::move(right));
  }

  static Parts Split(const Link& node, const Key& key) {
    if (node == nullptr) return {};
    if (key < node->key) {
      Parts parts = Split(node->left, key);
      parts.greater = Copy(*node, std::move(parts.greater), node->right);
      return parts;
    }
    if (node->key < key) {
      Parts parts = Split(node->right, key);
      parts.less = Copy(*node, node->left, std::move(parts.less));
      return parts;
    }
    return {node->left, node, node->right};
  }

  static Link Join(const Link& left, const Link& right) {
    if (left == nullptr) return right;
    if (right == nullptr) return left;
    if (left->priority > right->priority) return Copy(*left, left->left, Join(left->right, right));
    return Copy(*right, Join(left, right->left), right->right);
  }

  template <typename Visit>
  static bool Walk(const Node* node, Visit& visit) {
    if (node == nullptr) return true;
    return Walk(node->left.get(), visit) && visit(node->key, node->value) &&
           Walk(node->right.get(), visit);
  }
  template <typename K, typename Visit>
  static bool WalkFrom(const Node* node, const K& from, Visit& visit) {
    if (node == nullptr) return true;
    if (node->key < from) return WalkFrom(node->right.get(), from, visit);
    return WalkFrom(node->left.get(), from, visit) && visit(node->key, node->value) &&
           Walk(node->right.get(), visit);
  }

  Link root_;
};

}  // namespace millrace
