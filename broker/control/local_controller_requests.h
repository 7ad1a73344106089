// LocalControllerRequests: ControllerRequests of a node that is the only controller.
//
// Shard:    shard 0.
// Lifetime: `admin` and `publisher` outlive it and every call.
#pragma once

#include "broker/control/controller_requests.h"
#include "broker/metadata_publisher.h"

namespace millrace {

class LocalControllerRequests final : public ControllerRequests {
 public:
  // Before the first request. (Both are made on shards whose dispatchers are lent this.)
  void Attach(AdminContext& admin, MetadataPublisher& publisher) {
    admin_ = &admin;
    publisher_ = &publisher;
  }

  Task<ForwardedReply> Answer(ForwardedRequest request) override;

 private:
  AdminContext* admin_ = nullptr;
  MetadataPublisher* publisher_ = nullptr;
};

}  // namespace millrace
