// The judge of the chaos test, judged.

#include "tests/cluster/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::cluster_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(LedgerTest, TheLastAcknowledgedValueMustBeThere) {
    Ledger ledger;
    ledger.add("k", {.value = "a", .outcome = Outcome::acknowledged});
    ledger.add("k", {.value = "b", .outcome = Outcome::acknowledged, .replaces = {"a"}});
    EXPECT_THAT(ledger.check("k", {"b"}), IsEmpty());
    EXPECT_THAT(ledger.check("k", {}), ElementsAre("k: lost b"));
    EXPECT_THAT(ledger.check("k", {"a"}), ElementsAre("k: lost b", "k: resurrected a"));
}

TEST(LedgerTest, AWriteOfUnknownOutcomeMayHaveReplacedOrNot) {
    Ledger ledger;
    ledger.add("k", {.value = "a", .outcome = Outcome::acknowledged});
    ledger.add("k", {.value = "b", .outcome = Outcome::unknown, .replaces = {"a"}});
    EXPECT_THAT(ledger.check("k", {"a"}), IsEmpty());
    EXPECT_THAT(ledger.check("k", {"b"}), IsEmpty());
}

TEST(LedgerTest, ADeletedValueMustNotComeBack) {
    Ledger ledger;
    ledger.add("k", {.value = "a", .outcome = Outcome::acknowledged});
    ledger.add("k", {.value = "", .outcome = Outcome::acknowledged, .replaces = {"a"}});
    EXPECT_THAT(ledger.check("k", {}), IsEmpty());
    EXPECT_THAT(ledger.check("k", {"a"}), ElementsAre("k: resurrected a"));
}

TEST(LedgerTest, WhatNobodyWroteOrWasRefusedIsInvented) {
    Ledger ledger;
    ledger.add("k", {.value = "a", .outcome = Outcome::refused});
    EXPECT_THAT(ledger.check("k", {"a", "x"}), ElementsAre("k: invented a", "k: invented x"));
}

TEST(LedgerTest, ConcurrentValuesMayBothBeThere) {
    Ledger ledger;
    ledger.add("k", {.value = "a", .outcome = Outcome::acknowledged});
    ledger.add("k", {.value = "b", .outcome = Outcome::acknowledged, .may_replace = {"a"}});
    EXPECT_THAT(ledger.check("k", {"a", "b"}), IsEmpty());
    EXPECT_THAT(ledger.check("k", {"b"}), IsEmpty());
    EXPECT_THAT(ledger.check("k", {"a"}), ElementsAre("k: lost b"));
}

}  // namespace
}  // namespace starling::cluster_test
