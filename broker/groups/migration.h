// Live groups that change between the classic and the consumer protocol (KIP-848), member by member:
//
//   upgrade    a member of the consumer protocol joins a classic group of consumers: that becomes a
//              consumer group. Its members stay, with what they were assigned, and go on in their
//              protocol; each has the whole of its JoinGroup in its member record.
//   downgrade  the last member of the consumer protocol goes, and such members are left: the group
//              becomes a classic one, and rebalances.
//
// What is here translates; GroupCoordinator decides when, and writes.
//
// Shard:  any; pure.
// Source: KIP-848; rule 8.18 of Kafka's broker behaviour.
#pragma once

#include <expected>
#include <set>
#include <string>
#include <vector>

#include "broker/groups/classic_group.h"
#include "broker/groups/consumer_group_state.h"
#include "broker/groups/group_record.h"
#include "broker/groups/join_requests.h"
#include "common/time.h"
#include "controller/image/metadata_image.h"
#include "proto/kafka/consumer_group_member_metadata_value.h"

namespace millrace {

// group.consumer.migration.policy. A group without members changes whatever it says.
struct MigrationPolicy {
  bool upgrade = true;
  bool downgrade = true;
};

using ClassicMemberMetadata = kafka::ConsumerGroupMemberMetadataValue::ClassicMemberMetadata;

// What the member record keeps of a JoinGroup.
ClassicMemberMetadata ClassicMetadataOf(Duration session_timeout,
                                        const std::vector<MemberProtocol>& protocols);

// The records of the consumer group that `group` becomes. The group's generation becomes its epoch.
// An error says, for a person, why it cannot be one: its members are no consumers, cannot be
// understood, or would lose what their assignor keeps in assignments.
std::expected<std::vector<GroupRecord>, std::string> UpgradeRecords(const ClassicGroup& group,
                                                                    const MetadataImage& image);

// The members of the classic group that remains when `gone` have left, with what they have, and may have
// to give up, as assignments. (Kafka takes their targets, which nobody may have told them yet. It makes
// a difference where the group is upgraded again before all have joined: then this is who has what.)
// REQUIRES: all who remain are of the classic protocol.
std::vector<ClassicMember> DowngradedMembers(const ConsumerGroupState& state,
                                             const std::set<std::string>& gone,
                                             const MetadataImage& image);

}  // namespace millrace
