#pragma once

// Bytes of request ids, alone and in sorted lists: part of the layouts of records and of context
// tokens.

#include <string>
#include <vector>

#include "base/codec.h"
#include "base/ids.h"

namespace starling::node {

inline constexpr size_t encoded_request_id_bytes = 24;

void put_request_id(std::string& out, const base::RequestId& id);
base::RequestId read_request_id(base::Reader& in);

// REQUIRES: sorted, without doubles.
void put_request_ids(std::string& out, const std::vector<base::RequestId>& ids);
// Fails the reader on ids out of order or repeated.
std::vector<base::RequestId> read_request_ids(base::Reader& in);

}  // namespace starling::node
