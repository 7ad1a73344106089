// The two lines every function that calls fallible functions would otherwise repeat. The CO_ forms
// are for coroutines, where `return` is not allowed.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <utility>

#define MR_CONCAT_INNER(a, b) a##b
#define MR_CONCAT(a, b) MR_CONCAT_INNER(a, b)

#define MR_RETURN_IF_ERROR(expression)                            \
  do {                                                            \
    if (absl::Status mr_status = (expression); !mr_status.ok()) { \
      return mr_status;                                           \
    }                                                             \
  } while (false)

#define MR_CO_RETURN_IF_ERROR(expression)                         \
  do {                                                            \
    if (absl::Status mr_status = (expression); !mr_status.ok()) { \
      co_return mr_status;                                        \
    }                                                             \
  } while (false)

#define MR_ASSIGN_OR_RETURN(target, expression)             \
  auto MR_CONCAT(mr_or_, __LINE__) = (expression);          \
  if (!MR_CONCAT(mr_or_, __LINE__).ok()) {                  \
    return std::move(MR_CONCAT(mr_or_, __LINE__)).status(); \
  }                                                         \
  target = std::move(MR_CONCAT(mr_or_, __LINE__)).value()

#define MR_CO_ASSIGN_OR_RETURN(target, expression)             \
  auto MR_CONCAT(mr_or_, __LINE__) = (expression);             \
  if (!MR_CONCAT(mr_or_, __LINE__).ok()) {                     \
    co_return std::move(MR_CONCAT(mr_or_, __LINE__)).status(); \
  }                                                            \
  target = std::move(MR_CONCAT(mr_or_, __LINE__)).value()
