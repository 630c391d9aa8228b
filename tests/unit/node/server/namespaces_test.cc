#include "node/server/namespaces.h"

#include <gtest/gtest.h>

#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

NamespaceInfo carts() {
    NamespaceInfo info;
    info.id = base::NamespaceId(0x77);
    info.name = "carts";
    info.replicas = 2;
    info.read_quorum = 1;
    info.write_quorum = 2;
    info.sloppy = false;
    info.siblings_max = 5;
    return info;
}

void add_item(gossip::Membership& membership, const std::string& key, const std::string& value) {
    membership.merge_item(key, gossip::SharedItem{.version = 1, .value = value});
}

std::vector<std::string> names_of(const std::vector<NamespaceInfo>& all) {
    std::vector<std::string> names;
    for (const NamespaceInfo& info : all) {
        names.push_back(info.name);
    }
    return names;
}

TEST(NamespacesTest, TheDefaultFitsEachCluster) {
    for (uint32_t seats = 1; seats <= 16; ++seats) {
        const NamespaceInfo standard = default_namespace(seats, 64);
        EXPECT_TRUE(check_namespace(standard, seats).ok()) << seats;
        EXPECT_GT(standard.read_quorum + standard.write_quorum, standard.replicas);
    }
    EXPECT_EQ(default_namespace(3, 64).replicas, 3u);
    EXPECT_EQ(default_namespace(1, 64).replicas, 1u);
}

TEST(NamespacesTest, EachFieldOutOfItsRangeIsRefusedByName) {
    const auto expect_refused =
        [](const auto& spoil, StatusCode code, std::string_view reason, const char* named) {
            NamespaceInfo info = carts();
            spoil(info);
            expect_error(check_namespace(info, 3), code, reason, named);
        };
    const auto bad = StatusCode::kInvalidArgument;
    ASSERT_TRUE(check_namespace(carts(), 3).ok());
    const std::vector<std::string> bad_names = {
        "", std::string(65, 'x'), "Carts", "a b", "a/b", "id:7", std::string("a\0b", 3)};
    for (const std::string& name : bad_names) {
        expect_refused([&](NamespaceInfo& info) { info.name = name; },
                       bad,
                       base::reason::invalid_namespace,
                       "name");
    }
    for (const uint32_t n : {0u, 4u}) {
        expect_refused([&](NamespaceInfo& info) { info.replicas = n; },
                       bad,
                       base::reason::invalid_quorum,
                       "N = ");
    }
    for (const uint32_t quorum : {0u, 3u}) {
        expect_refused([&](NamespaceInfo& info) { info.read_quorum = quorum; },
                       bad,
                       base::reason::invalid_quorum,
                       "R = ");
        expect_refused([&](NamespaceInfo& info) { info.write_quorum = quorum; },
                       bad,
                       base::reason::invalid_quorum,
                       "W = ");
    }
    for (const uint32_t siblings : {0u, 1025u}) {
        expect_refused([&](NamespaceInfo& info) { info.siblings_max = siblings; },
                       bad,
                       base::reason::invalid_namespace,
                       "siblings_max");
    }
    expect_refused([](NamespaceInfo& info) { info.durability = Durability::memory; },
                   StatusCode::kUnimplemented,
                   base::reason::unimplemented,
                   "durability");
}

TEST(NamespacesTest, WhatIsEncodedIsDecodedAndNothingElseIs) {
    const std::string whole = encode_namespace(carts());
    const auto decoded = decode_namespace(whole);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, carts());
    for (size_t length = 0; length < whole.size(); ++length) {
        EXPECT_FALSE(decode_namespace(whole.substr(0, length)).ok()) << length;
    }
    EXPECT_FALSE(decode_namespace(whole + '\0').ok());
}

TEST(NamespacesTest, OfTwoOfOneNameTheLowerIdHoldsItAndTheOtherKeepsItsId) {
    gossip::Membership membership;
    NamespaceInfo higher = carts();
    higher.id = base::NamespaceId(0xab00000000000000);
    add_item(membership, namespace_item_key(higher.id), encode_namespace(higher));
    add_item(membership, namespace_item_key(carts().id), encode_namespace(carts()));
    EXPECT_THAT(namespaces_in(membership, 3, 64),
                ElementsAre(Pair("carts", carts()),
                            Pair("default", default_namespace(3, 64)),
                            Pair("id:ab00000000000000", higher)));
}

TEST(NamespacesTest, ItemsThatMakeNoSenseHereArePassedOver) {
    gossip::Membership membership;
    add_item(membership, "namespace/0000000000000001", "nonsense");
    add_item(membership, "other/0000000000000077", encode_namespace(carts()));
    NamespaceInfo wide = carts();
    wide.replicas = 5;
    add_item(membership, namespace_item_key(wide.id), encode_namespace(wide));
    EXPECT_THAT(namespaces_in(membership, 3, 64),
                ElementsAre(Pair("default", default_namespace(3, 64))));
    EXPECT_EQ(namespaces_in(membership, 5, 64).size(), 2u);
}

// Else one namespace's data would be read under another's N.
TEST(NamespacesTest, AnItemUnderAnotherIdThanItsOwnOrThatOfTheDefaultIsPassedOver) {
    gossip::Membership membership;
    add_item(membership, namespace_item_key(base::NamespaceId(0x78)), encode_namespace(carts()));
    NamespaceInfo alias = carts();
    alias.id = base::default_namespace_id;
    add_item(membership, namespace_item_key(alias.id), encode_namespace(alias));
    EXPECT_THAT(namespaces_in(membership, 3, 64),
                ElementsAre(Pair("default", default_namespace(3, 64))));
}

class NamespacesOfNodesTest : public testing::Test {
  protected:
    // Each write and read needs one node only.
    static NamespaceInfo loose(const std::string& name) {
        NamespaceInfo info;
        info.name = name;
        info.replicas = 2;
        info.read_quorum = 1;
        info.write_quorum = 1;
        return info;
    }
    void cut() {
        world.network.cut(first.peer_address(), second.peer_address());
        world.network.cut(second.peer_address(), first.peer_address());
    }
    // Both members, and each partition has a copy on each.
    void form() {
        first.start_and_serve();
        second.start_and_serve();
        const auto joined = second.join(first.peer_address());
        ASSERT_TRUE(joined.ok()) << joined.status();
        ASSERT_TRUE(world.run_until(
            minutes(5), [this] { return first.is_settled(2) && second.is_settled(2); }));
    }

    World world;
    Machine first{world, 1};
    Machine second{world, 2};
};

TEST_F(NamespacesOfNodesTest, ANamespaceIsCreatedListedUsedAndThereAfterARestart) {
    first.start_and_serve();
    const auto made = first.create_namespace(carts());
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_NE(made->id, carts().id);
    EXPECT_FALSE(made->id.is_none());
    EXPECT_THAT(names_of(first.namespaces()), ElementsAre("carts", "default"));
    ASSERT_TRUE(first.put("key", "of carts", "carts").ok());
    ASSERT_TRUE(first.put("key", "of default").ok());
    ASSERT_TRUE(first.stop().ok());
    first.start_and_serve();
    EXPECT_THAT(names_of(first.namespaces()), ElementsAre("carts", "default"));
    EXPECT_EQ(first.namespaces()[0], *made);
    EXPECT_THAT(first.values("key", "carts"), ElementsAre("of carts"));
    EXPECT_THAT(first.values("key"), ElementsAre("of default"));
}

TEST_F(NamespacesOfNodesTest, WhereNoLimitOfSiblingsIsAskedForTheConfiguredOneHolds) {
    first.options.siblings_max = 7;
    first.start_and_serve();
    NamespaceInfo plain = carts();
    plain.siblings_max = 0;
    const auto made = first.create_namespace(plain);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->siblings_max, 7u);
    for (const NamespaceInfo& info : first.namespaces()) {
        EXPECT_EQ(info.siblings_max, 7u) << info.name;
    }
}

// It was answered OK, so it is promised.
TEST_F(NamespacesOfNodesTest, ACreatedNamespaceOutlivesAPowerLossRightAfterTheAnswer) {
    first.start_and_serve();
    ASSERT_TRUE(first.create_namespace(carts()).ok());
    first.crash(env::CrashMode::lost);
    first.start_and_serve();
    EXPECT_THAT(names_of(first.namespaces()), ElementsAre("carts", "default"));
}

TEST_F(NamespacesOfNodesTest, ANamespaceThatCannotBeStoredIsNoOk) {
    first.start_and_serve();
    first.files().faults().fail_next(env::FileOperation::sync, 1000);
    EXPECT_FALSE(first.create_namespace(carts()).ok());
}

TEST_F(NamespacesOfNodesTest, TakenInvalidAndUnknownNamesAreRefusedAndChangeNothing) {
    first.start_and_serve();
    ASSERT_TRUE(first.create_namespace(carts()).ok());
    for (const char* name : {"carts", "default"}) {
        NamespaceInfo again = carts();
        again.name = name;
        expect_error(first.create_namespace(again).status(),
                     StatusCode::kAlreadyExists,
                     base::reason::namespace_exists,
                     name);
    }
    NamespaceInfo wide = loose("wide");
    wide.replicas = 4;
    expect_error(first.create_namespace(wide).status(),
                 StatusCode::kInvalidArgument,
                 base::reason::invalid_quorum,
                 "3 seats");
    EXPECT_THAT(names_of(first.namespaces()), ElementsAre("carts", "default"));
    for (const char* name : {"nowhere", "id:", "id:zz", "id:1234"}) {
        expect_error(first.put("key", "value", name).status(),
                     StatusCode::kNotFound,
                     base::reason::unknown_namespace,
                     name);
        expect_error(first.get("key", name).status(),
                     StatusCode::kNotFound,
                     base::reason::unknown_namespace,
                     name);
    }
    EXPECT_EQ(first.status().records, 0u);
}

TEST_F(NamespacesOfNodesTest, OneNameMadeOnTwoNodesAtOnceIsTwoNamespacesOfWhichTheLowerIdWins) {
    ASSERT_NO_FATAL_FAILURE(form());
    cut();
    const auto one = first.create_namespace(loose("carts"));
    const auto other = second.create_namespace(loose("carts"));
    ASSERT_TRUE(one.ok() && other.ok());
    const auto put = [](Machine& machine, const std::string& value) {
        PutRequest request = machine.make_put("key", value);
        request.options.name_space = "carts";
        // The other replica cannot be asked.
        request.blind = true;
        return machine.put(std::move(request)).status();
    };
    ASSERT_TRUE(put(first, "of the first").ok());
    ASSERT_TRUE(put(second, "of the second").ok());
    world.network.heal();
    const bool first_wins = one->id < other->id;
    const base::NamespaceId loser = first_wins ? other->id : one->id;
    const std::string loser_name = "id:" + base::to_string(loser);
    for (Machine* machine : {&first, &second}) {
        ASSERT_TRUE(
            world.run_until(minutes(1), [machine] { return machine->namespaces().size() == 3; }));
        EXPECT_THAT(names_of(machine->namespaces()),
                    UnorderedElementsAre("carts", "default", loser_name));
    }
    const auto settled = [&](const std::string& name, const std::string& value) {
        return world.run_until(minutes(2), [&] {
            return first.values("key", name) == std::vector{value} &&
                   second.values("key", name) == std::vector{value};
        });
    };
    EXPECT_TRUE(settled("carts", first_wins ? "of the first" : "of the second"));
    EXPECT_TRUE(settled(loser_name, first_wins ? "of the second" : "of the first"));
    // The winner too is found by its id.
    const std::string winner_name = "id:" + base::to_string(first_wins ? one->id : other->id);
    EXPECT_EQ(first.values("key", winner_name), first.values("key", "carts"));
}

}  // namespace
}  // namespace starling::node
