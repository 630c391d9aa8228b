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
std::string name_of(uint64_t node, const NodeNames& names);
// "2026-01-31 12:00:00.250 UTC"
std::string time_text(uint64_t unix_ms);
// A span of time in the largest unit of which there are two: "95s", "47h", "7d".
std::string span_text(uint64_t ms);
// Any bytes as one line: what is no printable text as \xNN.
std::string printable(std::string_view bytes);

// The name of one write: "NODE.START.RANDOM:WRITE".
std::string dot_name(const v1::Dot& dot);
// Whether `text` is of that form.
bool is_dot_name(std::string_view text);

// Several lines: who coordinated, what was asked for and reached, what each replica did.
std::string show_receipt(const v1::Receipt& receipt, const NodeNames& names);
// One line: the name of one write, and its time.
std::string show_dot(const v1::Dot& dot, const v1::HybridTime& time, const NodeNames& names);

nlohmann::ordered_json to_json(const v1::Receipt& receipt);
nlohmann::ordered_json to_json(const v1::Dot& dot);
// {`name`, "encoding": "utf8" or "base64"}
nlohmann::ordered_json bytes_json(const char* name, const std::string& bytes);
// {"value", "encoding", "crc32c", ...}
nlohmann::ordered_json to_json(const v1::Value& value);
nlohmann::ordered_json to_json(const v1::TombstonesWaiting& waiting);
nlohmann::ordered_json to_json(const v1::StatusResponse& status);
nlohmann::ordered_json to_json(const v1::Namespace& space);

// Bytes that are no UTF-8 do not make it fail.
std::string dump(const nlohmann::ordered_json& json);

}  // namespace starling::client
