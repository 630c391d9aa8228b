// Scenarios of values that expire.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/convergence/stage.h"

namespace starling::node::group_model {
namespace {

using ::testing::HasSubstr;

// The first write is of the same owner, and stays beside the value that expires.
std::string removal_beside_an_earlier_write(Rules rules) {
    Stage stage(rules);
    stage.spread(A, k, 1);
    stage.write_expiring(A, k, 2, Replaces::seen_by_reader);
    stage.carry(B, 2);
    stage.wait(lifetime + 2);
    stage.expire(B);
    stage.sync(B);
    return stage.outcome();
}

TEST(ExpiryScenarioTest, S34ARemovalTakesNothingButItsValue) {
    EXPECT_EQ(removal_beside_an_earlier_write({}), as_it_should_be);
    EXPECT_EQ(removal_beside_an_earlier_write(as_in_the_node()), as_it_should_be);
    EXPECT_THAT(removal_beside_an_earlier_write({.removals_name_no_dot = false}),
                HasSubstr("lost: 1"));
}

// A client names nothing, and its clock is behind.
std::string removal_of_what_hides_another(Rules rules) {
    Stage stage(rules);
    stage.spread(A, k, 2);
    stage.write_expiring(A, k, 1, Replaces::held_by_two);
    stage.wait(lifetime + 2);
    stage.expire(A);
    stage.sync(A);
    return stage.outcome();
}

TEST(ExpiryScenarioTest, S35AnExpiredValueStaysWhileItHidesAnother) {
    EXPECT_EQ(removal_of_what_hides_another({}), as_it_should_be);
    EXPECT_EQ(removal_of_what_hides_another({.hiding_values_stay = false}),
              "shown after a removal: 2");
}

// Each removes its own copy of one put, and the value comes late to who has neither.
std::string two_removals_of_one_put(Rules rules) {
    Stage stage(rules);
    for (const size_t owner : {A, B})
        stage.write_expiring(owner, k, 1, Replaces::seen_by_reader);
    stage.wait(lifetime + 2);
    for (const size_t owner : {A, B}) {
        stage.expire(owner);
        stage.sync(owner);
    }
    stage.pull(A, B);
    stage.sync(A);
    if (stage.record(A, k).siblings.size() != 1) return "two removals of one put";
    stage.pull(C, A);
    stage.carry(C, 1);
    if (stage.record(C, k).siblings.size() != 1) return "expired and back";
    return stage.outcome();
}

TEST(ExpiryScenarioTest, TwoOwnersThatRemoveOnePutMakeOneWrite) {
    EXPECT_EQ(two_removals_of_one_put({}), as_it_should_be);
    EXPECT_EQ(two_removals_of_one_put(as_in_the_node()), as_it_should_be);
}

}  // namespace
}  // namespace starling::node::group_model
