#include "common/sys/errno_status.h"

#include <fmt/format.h>
#include <string.h>

#include <cerrno>

namespace millrace {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case EBUSY:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return absl::StatusCode::kFailedPrecondition;
    case EIO:
    case EUCLEAN:
      return absl::StatusCode::kDataLoss;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EFBIG:
      return absl::StatusCode::kInvalidArgument;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case ECANCELED:
      return absl::StatusCode::kCancelled;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, const std::string& what) {
  const char* name = ::strerrorname_np(error);
  const char* text = ::strerrordesc_np(error);
  return absl::Status(CodeOf(error),
                      fmt::format("{}: {} ({})", what, text == nullptr ? "unknown error" : text,
                                  name == nullptr ? "?" : name));
}

}  // namespace millrace
