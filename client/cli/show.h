#pragma once

// Answers as people and as programs read them.

#include <map>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "starling/v1/admin.pb.h"
#include "starling/v1/kv.pb.h"

namespace starling::client {

// What people call a node, by its id: its client address. Nodes that are missing are shown by id.
using NodeNames = std::map<uint64_t, std::string>;

std::string to_hex(std::string_view bytes);
// False when it is not hexadecimal.
bool from_hex(std::string_view hex, std::string& bytes);

std::string node_id_text(uint64_t id);

// Several lines: who coordinated, what was asked for and reached, what each replica did.
std::string show_receipt(const v1::Receipt& receipt, const NodeNames& names);
// One line: the name of one write, and its time.
std::string show_dot(const v1::Dot& dot, const v1::HybridTime& time, const NodeNames& names);

nlohmann::ordered_json to_json(const v1::Receipt& receipt);
nlohmann::ordered_json to_json(const v1::Dot& dot);
// {"value", "encoding": "utf8" or "base64", "crc32c", ...}
nlohmann::ordered_json to_json(const v1::Value& value);
nlohmann::ordered_json to_json(const v1::StatusResponse& status);
nlohmann::ordered_json to_json(const v1::Namespace& space);

// Bytes that are no UTF-8 do not make it fail.
std::string dump(const nlohmann::ordered_json& json);

}  // namespace starling::client
