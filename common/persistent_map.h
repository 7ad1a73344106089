// PersistentMap<Key, Value>: an immutable ordered map; "changing" it makes a new map that shares
// all but O(log n) nodes with the old one. Metadata images are made of these, so that publishing a
// change costs O(changed) and readers keep whatever image they hold.
//
// Shard:    any: nodes are immutable and shared; the count of shared_ptr is atomic.
// Order:    by Key's operator<; the same in every process.
// Balance:  by the sizes of subtrees alone: neither of two siblings has more than three times what
//           the other has. So whoever chooses the keys, as clients do with the names of topics, has
//           no say in it; the height is at most 2.41 log2(n + 1).
// Source:   Hirai and Yamamoto, "Balancing weight-balanced trees", 2011: that (3, 2) keep the
//           balance under both insertion and deletion.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

namespace millrace {

template <typename Key, typename Value>
class PersistentMap {
 public:
  PersistentMap() = default;

  size_t size() const { return SizeOf(root_); }
  bool empty() const { return root_ == nullptr; }
  // The nodes on the longest way from the root: how many are copied and visited at most. O(n).
  size_t height() const { return HeightOf(root_); }

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
    return PersistentMap(Inserted(root_, key, value));
  }

  // A map like this one without `key`.
  PersistentMap Without(const Key& key) const { return PersistentMap(Erased(root_, key)); }

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
    Node(Key k, Value v, Link l, Link r)
        : key(std::move(k)),
          value(std::move(v)),
          size(1 + SizeOf(l) + SizeOf(r)),
          left(std::move(l)),
          right(std::move(r)) {}
    Key key;
    Value value;
    size_t size;
    Link left;
    Link right;
  };

  // A sibling may weigh so many times the other; a subtree is turned once if its inner child weighs
  // less than so many times the outer one, else twice.
  static constexpr size_t kHeavier = 3;
  static constexpr size_t kInner = 2;

  explicit PersistentMap(Link root) : root_(std::move(root)) {}

  static size_t SizeOf(const Link& node) { return node == nullptr ? 0 : node->size; }
  static size_t WeightOf(const Link& node) { return SizeOf(node) + 1; }
  static size_t HeightOf(const Link& node) {
    if (node == nullptr) return 0;
    return 1 + std::max(HeightOf(node->left), HeightOf(node->right));
  }

  static Link Copy(const Node& node, Link left, Link right) {
    return std::make_shared<const Node>(node.key, node.value, std::move(left), std::move(right));
  }

  // `node` between two subtrees that are balanced each, and of which one has changed by one node.
  static Link Balanced(const Node& node, Link left, Link right) {
    if (WeightOf(right) > kHeavier * WeightOf(left)) return TurnedLeft(node, left, *right);
    if (WeightOf(left) > kHeavier * WeightOf(right)) return TurnedRight(node, *left, right);
    return Copy(node, std::move(left), std::move(right));
  }
  static Link TurnedLeft(const Node& node, const Link& left, const Node& right) {
    const Link& inner = right.left;
    if (WeightOf(inner) < kInner * WeightOf(right.right)) {
      return Copy(right, Copy(node, left, inner), right.right);
    }
    return Copy(*inner, Copy(node, left, inner->left), Copy(right, inner->right, right.right));
  }
  static Link TurnedRight(const Node& node, const Node& left, const Link& right) {
    const Link& inner = left.right;
    if (WeightOf(inner) < kInner * WeightOf(left.left)) {
      return Copy(left, left.left, Copy(node, inner, right));
    }
    return Copy(*inner, Copy(left, left.left, inner->left), Copy(node, inner->right, right));
  }

  // Takes `key` and `value` when it gets to where they belong.
  static Link Inserted(const Link& node, Key& key, Value& value) {
    if (node == nullptr) {
      return std::make_shared<const Node>(std::move(key), std::move(value), nullptr, nullptr);
    }
    if (key < node->key) return Balanced(*node, Inserted(node->left, key, value), node->right);
    if (node->key < key) return Balanced(*node, node->left, Inserted(node->right, key, value));
    return std::make_shared<const Node>(std::move(key), std::move(value), node->left, node->right);
  }

  // The same node where there is nothing to erase.
  static Link Erased(const Link& node, const Key& key) {
    if (node == nullptr) return nullptr;
    if (key < node->key) {
      Link left = Erased(node->left, key);
      return left == node->left ? node : Balanced(*node, std::move(left), node->right);
    }
    if (node->key < key) {
      Link right = Erased(node->right, key);
      return right == node->right ? node : Balanced(*node, node->left, std::move(right));
    }
    return Joined(node->left, node->right);
  }
  // What is left of a node that is gone: the heavier side gives the one to stand in its place.
  static Link Joined(const Link& left, const Link& right) {
    if (left == nullptr) return right;
    if (right == nullptr) return left;
    if (left->size > right->size) {
      const Node* last = left.get();
      while (last->right != nullptr) last = last->right.get();
      return Balanced(*last, WithoutLast(*left), right);
    }
    const Node* first = right.get();
    while (first->left != nullptr) first = first->left.get();
    return Balanced(*first, left, WithoutFirst(*right));
  }
  static Link WithoutFirst(const Node& node) {
    if (node.left == nullptr) return node.right;
    return Balanced(node, WithoutFirst(*node.left), node.right);
  }
  static Link WithoutLast(const Node& node) {
    if (node.right == nullptr) return node.left;
    return Balanced(node, node.left, WithoutLast(*node.right));
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
