#include "env/posix/handshake.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/hmac.h"

namespace starling::env {
namespace {

constexpr std::string_view magic = "starling";
constexpr uint8_t protocol_version = 1;
constexpr std::string_view proof_label = "starling handshake 1";
constexpr uint8_t answer_accepted = 0;
constexpr uint8_t answer_refused = 1;

std::string_view view(const Challenge& challenge) {
    return {reinterpret_cast<const char*>(challenge.data()), challenge.size()};
}

absl::Status wrong_secret() {
    return base::make_error(absl::StatusCode::kPermissionDenied,
                            base::reason::wrong_secret,
                            "the peer holds another cluster secret");
}

Handshake::Role other(Handshake::Role role) {
    return role == Handshake::Role::dialer ? Handshake::Role::acceptor : Handshake::Role::dialer;
}

}  // namespace

std::string Handshake::hello() const {
    std::string out(magic);
    base::put_u8(out, protocol_version);
    base::put_u8(out, static_cast<uint8_t>(role_));
    base::put_u16(out, 0);
    out.append(view(own_));
    return out;
}

absl::Status Handshake::take_hello(std::string_view hello) {
    base::Reader reader(hello);
    const std::string_view their_magic = reader.take(magic.size());
    const uint8_t their_version = reader.u8();
    const uint8_t their_role = reader.u8();
    // Reserved: whatever a later version says here.
    reader.u16();
    const std::string_view challenge = reader.take(theirs_.size());
    if (!reader.finished() || their_magic != magic) {
        return absl::InvalidArgumentError("the other end does not speak Starling's frames");
    }
    if (their_version != protocol_version) {
        return base::make_error(absl::StatusCode::kFailedPrecondition,
                                base::reason::incompatible,
                                fmt::format("the peer speaks version {} of the frame protocol, "
                                            "this node version {}",
                                            their_version,
                                            protocol_version));
    }
    if (their_role != static_cast<uint8_t>(other(role_))) {
        return absl::InvalidArgumentError("both ends claim one role");
    }
    std::copy(challenge.begin(), challenge.end(), theirs_.begin());
    return absl::OkStatus();
}

std::string Handshake::proof() const {
    return proof_of(role_);
}

absl::Status Handshake::check_proof(std::string_view proof) const {
    return base::equal_constant_time(proof, proof_of(other(role_))) ? absl::OkStatus()
                                                                    : wrong_secret();
}

std::string Handshake::accept() const {
    return std::string(1, static_cast<char>(answer_accepted)) + proof();
}

std::string Handshake::refuse() {
    std::string answer(answer_bytes, '\0');
    answer[0] = static_cast<char>(answer_refused);
    return answer;
}

absl::Status Handshake::check_answer(std::string_view answer) const {
    if (answer.empty() || answer[0] != static_cast<char>(answer_accepted)) {
        return wrong_secret();
    }
    return check_proof(answer.substr(1));
}

std::string Handshake::proof_of(Role prover) const {
    const bool own_is_dialer = role_ == Role::dialer;
    std::string message(proof_label);
    base::put_u8(message, static_cast<uint8_t>(prover));
    message.append(view(own_is_dialer ? own_ : theirs_));
    message.append(view(own_is_dialer ? theirs_ : own_));
    const base::HmacTag tag = base::hmac_sha256(secret_, message);
    return {reinterpret_cast<const char*>(tag.data()), tag.size()};
}

}  // namespace starling::env
