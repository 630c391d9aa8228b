#pragma once

// How two ends of a connection prove to each other that they hold the cluster secret, without
// sending it: docs/formats/frame.md. Pure: bytes in, bytes out.
//
//     dialer                                acceptor
//       hello(challenge of the dialer)  ->
//                                       <-  hello(challenge of the acceptor)
//       proof                           ->
//                                       <-  answer(accepted or refused, proof)
//
// A proof is a MAC over both challenges and the prover's role: as each side's challenge is fresh, a
// recorded handshake proves nothing, and as the roles differ, a proof cannot be sent back to its
// maker.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace starling::env {

using Challenge = std::array<uint8_t, 32>;

inline constexpr size_t hello_bytes = 44;
inline constexpr size_t proof_bytes = 32;
inline constexpr size_t answer_bytes = 33;

class Handshake {
  public:
    enum class Role : uint8_t { dialer = 1, acceptor = 2 };

    // `secret` must outlive this; `challenge` must be unpredictable and used once.
    Handshake(Role role, std::string_view secret, const Challenge& challenge)
        : role_(role), secret_(secret), own_(challenge) {}

    std::string hello() const;
    // invalid_argument: not a hello of the other role. failed_precondition with the reason
    // incompatible: another version of the protocol.
    absl::Status take_hello(std::string_view hello);

    // What proves this side. REQUIRES: take_hello() was OK.
    std::string proof() const;
    // permission_denied with the reason wrong_secret. REQUIRES: take_hello() was OK.
    absl::Status check_proof(std::string_view proof) const;

    // The acceptor's last word.
    std::string accept() const;
    static std::string refuse();
    // The dialer's check of it: as check_proof().
    absl::Status check_answer(std::string_view answer) const;

  private:
    std::string proof_of(Role prover) const;

    const Role role_;
    const std::string_view secret_;
    const Challenge own_;
    Challenge theirs_{};
};

}  // namespace starling::env
