#pragma once

// Early return for absl::Status and absl::StatusOr.

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define STARLING_CONCAT_INNER(a, b) a##b
#define STARLING_CONCAT(a, b) STARLING_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expression` is not OK.
#define STARLING_RETURN_IF_ERROR(expression)         \
    do {                                             \
        absl::Status starling_status = (expression); \
        if (!starling_status.ok()) {                 \
            return starling_status;                  \
        }                                            \
    } while (false)

// STARLING_ASSIGN_OR_RETURN(auto value, function()); returns the error, or assigns the value.
#define STARLING_ASSIGN_OR_RETURN(target, expression) \
    STARLING_ASSIGN_OR_RETURN_INNER(STARLING_CONCAT(starling_or_, __LINE__), target, expression)
#define STARLING_ASSIGN_OR_RETURN_INNER(holder, target, expression) \
    auto holder = (expression);                                     \
    if (!holder.ok()) {                                             \
        return std::move(holder).status();                          \
    }                                                               \
    target = *std::move(holder)
