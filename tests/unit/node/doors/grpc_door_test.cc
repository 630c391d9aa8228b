#include <chrono>
#include <future>
#include <thread>

#include "gmock/gmock.h"
#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include "starling/v1/admin.grpc.pb.h"
#include "starling/v1/kv.grpc.pb.h"
#include "tests/unit/node/doors/door_fixture.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::Gt;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::SizeIs;

std::string reason_in(const grpc::ClientContext& context) {
    const auto& trailer = context.GetServerTrailingMetadata();
    const auto found = trailer.find("starling-reason");
    return found == trailer.end() ? "" : std::string(found->second.data(), found->second.size());
}

bool is_outcome_unknown(const grpc::ClientContext& context) {
    return context.GetServerTrailingMetadata().contains("starling-outcome-unknown");
}

// One request message to any method, as bytes; the answer's bytes.
grpc::Status raw_call(const std::shared_ptr<grpc::Channel>& channel,
                      const std::string& method,
                      const std::string& request,
                      std::string& response) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(10));
    grpc::CompletionQueue queue;
    const grpc::Slice slice(request);
    auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    grpc::Slice joined;
    if (status.ok() && answer.DumpToSingleSlice(&joined).ok()) {
        response.assign(reinterpret_cast<const char*>(joined.begin()), joined.size());
    }
    return status;
}

class GrpcDoorTest : public testing::Test {
  protected:
    void open(GrpcDoorOptions options = {}) {
        doors_ = std::make_unique<Doors>(options);
        grpc::ChannelArguments arguments;
        arguments.SetMaxReceiveMessageSize(-1);
        channel_ = grpc::CreateCustomChannel(
            doors_->grpc_listener->address(), grpc::InsecureChannelCredentials(), arguments);
        kv_ = v1::KV::NewStub(channel_);
        admin_ = v1::Admin::NewStub(channel_);
    }
    void SetUp() override { open(); }

    FakeNode& node() { return doors_->node; }

    static v1::PutRequest put_of(const std::string& key, const std::string& value) {
        v1::PutRequest request;
        request.set_key(key);
        request.set_value(value);
        return request;
    }
    // Puts and returns the status; `reason` gets the reason.
    grpc::Status put(const v1::PutRequest& request, std::string* reason = nullptr) {
        grpc::ClientContext context;
        // The connection before may just be closing.
        context.set_wait_for_ready(true);
        v1::WriteResponse response;
        const grpc::Status status = kv_->Put(&context, request, &response);
        if (reason != nullptr) {
            *reason = reason_in(context);
        }
        return status;
    }
    std::string put_reason(const v1::PutRequest& request) {
        std::string reason;
        EXPECT_FALSE(put(request, &reason).ok());
        return reason;
    }

    std::unique_ptr<Doors> doors_;
    std::shared_ptr<grpc::Channel> channel_;
    std::unique_ptr<v1::KV::Stub> kv_;
    std::unique_ptr<v1::Admin::Stub> admin_;
};

TEST_F(GrpcDoorTest, APutReachesTheNodeWholeAndItsResultComesBackWhole) {
    node().on_put = [](const PutRequest&) {
        PutResult result{
            .dot = {.actor = {.node = base::NodeId(5), .start = 3, .random = 9}, .sequence = 12},
            .time = {.wall_ms = 1000, .logical = 4},
            .is_repeat = true,
            .context = "opaque"};
        result.receipt = {.coordinator = base::NodeId(5),
                          .partition = base::PartitionId(17),
                          .replicas_total = 3,
                          .quorum = 2,
                          .seats_answered = 2,
                          .nodes_answered = 2,
                          .seats_hinted = 1,
                          .forwarded_by = base::NodeId(8),
                          .elapsed = milliseconds(3)};
        result.receipt.replicas = {{.node = base::NodeId(6),
                                    .seats = {base::SeatIndex(0), base::SeatIndex(2)},
                                    .state = ReplicaState::hinted,
                                    .detail = "for 7",
                                    .elapsed = milliseconds(2)}};
        return result;
    };
    v1::PutRequest request = put_of(std::string("k\0\xff", 3), "value");
    request.set_context("seen");
    request.mutable_request_id()->set_created_ms(55);
    request.mutable_request_id()->set_random_high(1);
    request.mutable_request_id()->set_random_low(2);
    request.set_expires_ms(99);
    request.mutable_options()->set_namespace_("mine");
    request.mutable_options()->set_quorum(3);
    request.mutable_options()->set_deadline_ms(700);
    request.mutable_options()->set_sloppy(false);
    request.mutable_options()->set_explain(true);
    grpc::ClientContext context;
    v1::WriteResponse response;
    ASSERT_TRUE(kv_->Put(&context, request, &response).ok());

    ASSERT_THAT(node().puts(), SizeIs(1));
    const PutRequest seen = node().puts()[0];
    EXPECT_EQ(seen.key, std::string("k\0\xff", 3));
    EXPECT_EQ(seen.value, "value");
    EXPECT_EQ(seen.context, "seen");
    EXPECT_FALSE(seen.is_delete);
    EXPECT_EQ(seen.request, (base::RequestId{.created_ms = 55, .random_high = 1, .random_low = 2}));
    EXPECT_EQ(seen.expires_ms, 99u);
    EXPECT_EQ(seen.options.name_space, "mine");
    EXPECT_EQ(seen.options.quorum, 3u);
    EXPECT_EQ(seen.options.deadline, milliseconds(700));
    EXPECT_EQ(seen.options.sloppy, false);
    EXPECT_TRUE(seen.options.explain);

    EXPECT_EQ(response.dot().node_id(), 5u);
    EXPECT_EQ(response.dot().sequence(), 12u);
    EXPECT_EQ(response.time().logical(), 4u);
    EXPECT_TRUE(response.is_repeat());
    EXPECT_EQ(response.context(), "opaque");
    EXPECT_EQ(response.receipt().partition(), 17u);
    EXPECT_EQ(response.receipt().seats_hinted(), 1u);
    EXPECT_EQ(response.receipt().forwarded_by(), 8u);
    EXPECT_EQ(response.receipt().elapsed_us(), 3000u);
    ASSERT_EQ(response.receipt().replicas_size(), 1);
    EXPECT_EQ(response.receipt().replicas(0).state(), v1::REPLICA_STATE_HINTED);
    EXPECT_THAT(response.receipt().replicas(0).seats(), testing::ElementsAre(0u, 2u));
}

TEST_F(GrpcDoorTest, AnAbsentAnEmptyAndAGivenContextAreThreeThings) {
    v1::PutRequest request = put_of("k", "v");
    ASSERT_TRUE(put(request).ok());
    request.set_context("");
    ASSERT_TRUE(put(request).ok());
    request.set_context("c");
    ASSERT_TRUE(put(request).ok());
    const auto puts = node().puts();
    ASSERT_THAT(puts, SizeIs(3));
    EXPECT_EQ(puts[0].context, std::nullopt);
    EXPECT_EQ(puts[1].context, "");
    EXPECT_EQ(puts[2].context, "c");
}

TEST_F(GrpcDoorTest, ASessionGoesToTheNodeAndItsTokenComesBack) {
    node().on_put = [](const PutRequest&) { return PutResult{.session = "after the put"}; };
    node().on_get = [](const GetRequest&) { return GetResult{.session = "after the get"}; };
    v1::PutRequest write = put_of("k", "v");
    write.set_session("");
    grpc::ClientContext write_context;
    v1::WriteResponse written;
    ASSERT_TRUE(kv_->Put(&write_context, write, &written).ok());
    EXPECT_EQ(written.session(), "after the put");
    EXPECT_EQ(node().puts()[0].session, "");
    ASSERT_TRUE(put(put_of("k", "v")).ok());
    EXPECT_EQ(node().puts()[1].session, std::nullopt);

    v1::GetRequest read;
    read.set_key("k");
    read.set_session(written.session());
    grpc::ClientContext read_context;
    v1::GetResponse found;
    ASSERT_TRUE(kv_->Get(&read_context, read, &found).ok());
    EXPECT_EQ(found.session(), "after the get");
    EXPECT_EQ(node().gets()[0].session, "after the put");

    read.set_session(std::string((64u << 10) + 1, 's'));
    grpc::ClientContext long_context;
    EXPECT_EQ(kv_->Get(&long_context, read, &found).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(reason_in(long_context), base::reason::malformed_session);
}

TEST_F(GrpcDoorTest, AWriteWithoutARequestIdIsGivenAFreshOne) {
    ASSERT_TRUE(put(put_of("k", "v")).ok());
    ASSERT_TRUE(put(put_of("k", "v")).ok());
    const auto puts = node().puts();
    EXPECT_EQ(puts[0].request.created_ms, 1'700'000'000'000u);
    EXPECT_NE(puts[0].request, puts[1].request);
}

TEST_F(GrpcDoorTest, ADeleteIsTheWriteOfATombstone) {
    v1::DeleteRequest request;
    request.set_key("gone");
    request.set_blind(true);
    grpc::ClientContext context;
    v1::WriteResponse response;
    ASSERT_TRUE(kv_->Delete(&context, request, &response).ok());
    ASSERT_THAT(node().puts(), SizeIs(1));
    EXPECT_TRUE(node().puts()[0].is_delete);
    EXPECT_TRUE(node().puts()[0].blind);
    EXPECT_EQ(node().puts()[0].key, "gone");
}

TEST_F(GrpcDoorTest, AGetReturnsSiblingsAndAnAbsentKeyIsNoError) {
    v1::GetRequest request;
    request.set_key("k");
    {
        grpc::ClientContext context;
        v1::GetResponse response;
        ASSERT_TRUE(kv_->Get(&context, request, &response).ok());
        EXPECT_EQ(response.values_size(), 0);
    }
    node().on_get = [](const GetRequest&) {
        GetResult result{.context = "both"};
        result.values = {{.value = "a"}, {.value = "b", .expires_ms = 5}};
        return result;
    };
    grpc::ClientContext context;
    v1::GetResponse response;
    ASSERT_TRUE(kv_->Get(&context, request, &response).ok());
    ASSERT_EQ(response.values_size(), 2);
    EXPECT_EQ(response.values(1).value(), "b");
    EXPECT_EQ(response.values(1).expires_ms(), 5u);
    EXPECT_EQ(response.context(), "both");
}

TEST_F(GrpcDoorTest, EachErrorOfTheNodeReachesTheClientWithItsReason) {
    struct Case {
        absl::StatusCode code;
        std::string_view reason;
        bool is_unknown;
    };
    namespace reason = base::reason;
    const std::vector<Case> cases = {
        {absl::StatusCode::kInvalidArgument, reason::forged_context, false},
        {absl::StatusCode::kNotFound, reason::unknown_namespace, false},
        {absl::StatusCode::kInvalidArgument, reason::invalid_quorum, false},
        {absl::StatusCode::kFailedPrecondition, reason::request_too_old, true},
        {absl::StatusCode::kUnavailable, reason::clock_drift, false},
        {absl::StatusCode::kAborted, reason::request_superseded, false},
        {absl::StatusCode::kUnavailable, reason::quorum_not_reached, true},
        {absl::StatusCode::kUnavailable, reason::no_owner, false},
        {absl::StatusCode::kDeadlineExceeded, reason::deadline, true},
        {absl::StatusCode::kResourceExhausted, reason::overloaded, false},
        {absl::StatusCode::kResourceExhausted, reason::written_too_often, false},
        {absl::StatusCode::kResourceExhausted, reason::too_many_siblings, false},
        {absl::StatusCode::kResourceExhausted, reason::disk_full, false},
        {absl::StatusCode::kFailedPrecondition, reason::read_only, false},
        {absl::StatusCode::kUnavailable, reason::stopping, false},
        {absl::StatusCode::kUnimplemented, reason::unimplemented, false},
    };
    for (const Case& expected : cases) {
        node().on_put = [&](const PutRequest&) {
            return base::make_error(expected.code, expected.reason, "because");
        };
        grpc::ClientContext context;
        v1::WriteResponse response;
        const grpc::Status status = kv_->Put(&context, put_of("k", "v"), &response);
        EXPECT_EQ(static_cast<int>(status.error_code()), static_cast<int>(expected.code));
        EXPECT_EQ(status.error_message(), "because");
        EXPECT_EQ(reason_in(context), expected.reason);
        EXPECT_EQ(is_outcome_unknown(context), expected.is_unknown) << expected.reason;
    }
}

TEST_F(GrpcDoorTest, AnOverloadSaysWhenToTryAgain) {
    node().on_put = [](const PutRequest&) {
        return base::make_error(
            absl::StatusCode::kResourceExhausted, base::reason::overloaded, "full");
    };
    grpc::ClientContext context;
    v1::WriteResponse response;
    ASSERT_FALSE(kv_->Put(&context, put_of("k", "v"), &response).ok());
    EXPECT_TRUE(context.GetServerTrailingMetadata().contains("starling-retry-after-ms"));
}

TEST_F(GrpcDoorTest, AFailedReadNeverHasAnUnknownOutcome) {
    node().on_get = [](const GetRequest&) {
        return base::make_error(
            absl::StatusCode::kUnavailable, base::reason::quorum_not_reached, "1 of 2");
    };
    grpc::ClientContext context;
    v1::GetRequest request;
    request.set_key("k");
    v1::GetResponse response;
    EXPECT_FALSE(kv_->Get(&context, request, &response).ok());
    EXPECT_FALSE(is_outcome_unknown(context));
}

TEST_F(GrpcDoorTest, BadInputIsRefusedBeforeTheNodeSeesIt) {
    EXPECT_EQ(put_reason(put_of("", "v")), "key_empty");
    EXPECT_EQ(put_reason(put_of(std::string((64u << 10) + 1, 'k'), "v")), "key_too_large");
    v1::PutRequest request = put_of("k", "v");
    request.set_context(std::string(100'000, 'c'));
    EXPECT_EQ(put_reason(request), "malformed_context");
    request.set_context("c");
    request.set_blind(true);
    EXPECT_EQ(put_reason(request), "invalid_request");
    request = put_of("k", "v");
    request.mutable_request_id()->set_created_ms(1);
    EXPECT_EQ(put_reason(request), "invalid_request_id");
    request = put_of("k", "v");
    request.mutable_options()->set_namespace_(std::string(300, 'n'));
    EXPECT_EQ(put_reason(request), "invalid_namespace");
    EXPECT_THAT(node().puts(), IsEmpty());
}

TEST_F(GrpcDoorTest, AMessageThatIsNoProtobufIsRefused) {
    std::string response;
    EXPECT_FALSE(raw_call(channel_, "/starling.v1.KV/Put", "\xff\xff\xff", response).ok());
    EXPECT_THAT(node().puts(), IsEmpty());
    EXPECT_TRUE(put(put_of("k", "v")).ok());
}

TEST_F(GrpcDoorTest, AValueAtTheLimitPassesAndOneByteMoreIsRefused) {
    GrpcDoorOptions options;
    options.requests.value_bytes_max = 1000;
    open(options);
    EXPECT_TRUE(put(put_of("k", std::string(1000, 'v'))).ok());
    EXPECT_EQ(put_reason(put_of("k", std::string(1001, 'v'))), "value_too_large");
}

TEST_F(GrpcDoorTest, AMessageOverTheLimitIsRefusedAndTheConnectionLivesOn) {
    GrpcDoorOptions options;
    options.requests.value_bytes_max = 1000;
    open(options);
    const grpc::Status status = put(put_of("k", std::string(1u << 20, 'v')));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_TRUE(put(put_of("k", "v")).ok());
    EXPECT_THAT(node().puts(), SizeIs(1));
}

TEST_F(GrpcDoorTest, OversizedMetadataIsRefusedAndTheNodeServesOn) {
    grpc::ClientContext context;
    context.AddMetadata("padding", std::string(20'000, 'x'));
    v1::WriteResponse response;
    EXPECT_FALSE(kv_->Put(&context, put_of("k", "v"), &response).ok());
    // gRPC closes the connection for it, which may take a call of the next moment along.
    int tries = 1;
    while (!put(put_of("k", "v")).ok() && tries < 5) {
        ++tries;
    }
    EXPECT_LT(tries, 5);
}

TEST_F(GrpcDoorTest, TheEarlierOfTheTwoDeadlinesCounts) {
    v1::PutRequest request = put_of("k", "v");
    v1::WriteResponse response;
    {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + seconds(5));
        ASSERT_TRUE(kv_->Put(&context, request, &response).ok());
    }
    request.mutable_options()->set_deadline_ms(1000);
    {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + seconds(5));
        ASSERT_TRUE(kv_->Put(&context, request, &response).ok());
    }
    request.mutable_options()->set_deadline_ms(100'000);
    {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + seconds(5));
        ASSERT_TRUE(kv_->Put(&context, request, &response).ok());
    }
    ASSERT_TRUE(put(put_of("k", "v")).ok());
    const auto puts = node().puts();
    EXPECT_THAT(puts[0].options.deadline, AllOf(Gt(seconds(3)), Le(milliseconds(5100))));
    EXPECT_EQ(puts[1].options.deadline, seconds(1));
    EXPECT_THAT(puts[2].options.deadline, AllOf(Gt(seconds(3)), Le(milliseconds(5100))));
    EXPECT_EQ(puts[3].options.deadline, seconds(0)) << "the node's default";
}

TEST_F(GrpcDoorTest, AnUnknownMethodIsUnimplemented) {
    std::string response;
    EXPECT_EQ(raw_call(channel_, "/starling.v1.KV/Steal", "", response).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(GrpcDoorTest, HealthIsServedAndReflectionListsTheServices) {
    std::string response;
    ASSERT_TRUE(raw_call(channel_, "/grpc.health.v1.Health/Check", "", response).ok());
    EXPECT_EQ(response, "\x08\x01") << "SERVING";
    // list_services = ""
    const grpc::Status status =
        raw_call(channel_,
                 "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                 std::string("\x3a\x00", 2),
                 response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_THAT(response, AllOf(HasSubstr("starling.v1.KV"), HasSubstr("starling.v1.Admin")));
}

TEST_F(GrpcDoorTest, PingAnswersWithoutTheNode) {
    node().hold();
    doors_->is_ready = false;
    grpc::ClientContext context;
    v1::PingResponse response;
    ASSERT_TRUE(admin_->Ping(&context, {}, &response).ok());
    EXPECT_EQ(response.message(), "PONG");
    EXPECT_EQ(response.node_id(), 0xabcu);
    EXPECT_EQ(response.version(), "9.9.9");
    EXPECT_FALSE(response.is_ready());
}

TEST_F(GrpcDoorTest, JoinTakesAPeerAddressAndNothingElse) {
    v1::JoinRequest request;
    v1::JoinResponse response;
    {
        grpc::ClientContext context;
        request.set_known_address("somewhere");
        EXPECT_EQ(admin_->Join(&context, request, &response).error_code(),
                  grpc::StatusCode::INVALID_ARGUMENT);
        EXPECT_EQ(reason_in(context), "invalid_request");
    }
    EXPECT_THAT(node().joins(), IsEmpty());
    grpc::ClientContext context;
    request.set_known_address("127.0.0.1:4001");
    ASSERT_TRUE(admin_->Join(&context, request, &response).ok());
    EXPECT_EQ(response.cluster_id(), 77u);
    EXPECT_EQ(response.member_count(), 2u);
    EXPECT_THAT(node().joins(), testing::ElementsAre("127.0.0.1:4001"));
}

TEST_F(GrpcDoorTest, StatusAndRingAreToldWhole) {
    StatusReport report;
    report.cluster_name = "flock";
    report.members = {{.node = base::NodeId(3), .state = "member", .liveness = "alive"}};
    report.hints = 4;
    report.memory = {{.what = "memtables", .bytes_used = 1, .bytes_max = 2}};
    report.warnings = {"1 of 3 copies"};
    report.damage = "000007.table: block 3";
    report.tombstones_waiting = {{.node = base::NodeId(3),
                                  .client_address = "127.0.0.1:4003",
                                  .tombstones = 7,
                                  .waiting_ms = 96'000}};
    node().status_answer = report;
    node().ring_answer =
        std::vector<RingPartition>{{.partition = base::PartitionId(9),
                                    .holders = {base::NodeId(3), base::NodeId()},
                                    .targets = {base::NodeId(3), base::NodeId(4)}}};
    grpc::ClientContext status_context;
    v1::StatusResponse status;
    ASSERT_TRUE(admin_->Status(&status_context, {}, &status).ok());
    EXPECT_EQ(status.cluster_name(), "flock");
    EXPECT_EQ(status.members(0).liveness(), "alive");
    EXPECT_EQ(status.hints(), 4u);
    EXPECT_EQ(status.memory(0).bytes_max(), 2u);
    EXPECT_EQ(status.warnings(0), "1 of 3 copies");
    EXPECT_EQ(status.damage(), "000007.table: block 3");
    ASSERT_EQ(status.tombstones_waiting_size(), 1);
    EXPECT_EQ(status.tombstones_waiting(0).node_id(), 3u);
    EXPECT_EQ(status.tombstones_waiting(0).client_address(), "127.0.0.1:4003");
    EXPECT_EQ(status.tombstones_waiting(0).tombstones(), 7u);
    EXPECT_EQ(status.tombstones_waiting(0).waiting_ms(), 96'000u);
    grpc::ClientContext ring_context;
    v1::RingResponse ring;
    ASSERT_TRUE(admin_->Ring(&ring_context, {}, &ring).ok());
    ASSERT_EQ(ring.partitions_size(), 1);
    EXPECT_EQ(ring.partitions(0).partition(), 9u);
    EXPECT_THAT(ring.partitions(0).holders(), testing::ElementsAre(3u, 0u));
    EXPECT_THAT(ring.partitions(0).targets(), testing::ElementsAre(3u, 4u));
}

TEST_F(GrpcDoorTest, NamespacesAreCreatedWithDefaultsAndListed) {
    v1::CreateNamespaceRequest request;
    request.mutable_namespace_()->set_name("sessions");
    request.mutable_namespace_()->set_replicas(5);
    request.mutable_namespace_()->set_policy(v1::CONFLICT_POLICY_LAST_WRITE_WINS);
    request.mutable_namespace_()->set_sloppy(false);
    grpc::ClientContext context;
    v1::CreateNamespaceResponse response;
    ASSERT_TRUE(admin_->CreateNamespace(&context, request, &response).ok());
    EXPECT_NE(response.namespace_().id(), 0u);
    EXPECT_EQ(response.namespace_().read_quorum(), 3u);
    EXPECT_EQ(response.namespace_().durability(), v1::DURABILITY_SYNC);
    EXPECT_FALSE(response.namespace_().sloppy());
    grpc::ClientContext list_context;
    v1::ListNamespacesResponse list;
    ASSERT_TRUE(admin_->ListNamespaces(&list_context, {}, &list).ok());
    ASSERT_EQ(list.namespaces_size(), 1);
    EXPECT_EQ(list.namespaces(0).policy(), v1::CONFLICT_POLICY_LAST_WRITE_WINS);

    for (const auto& spoil : std::vector<std::function<void(v1::Namespace&)>>{
             [](v1::Namespace& bad) { bad.clear_name(); },
             [](v1::Namespace& bad) { bad.set_policy(static_cast<v1::ConflictPolicy>(77)); },
             [](v1::Namespace& bad) { bad.set_durability(static_cast<v1::Durability>(77)); }}) {
        v1::CreateNamespaceRequest bad = request;
        spoil(*bad.mutable_namespace_());
        grpc::ClientContext bad_context;
        EXPECT_FALSE(admin_->CreateNamespace(&bad_context, bad, &response).ok());
        EXPECT_EQ(reason_in(bad_context), "invalid_namespace");
    }
    EXPECT_THAT(node().namespaces(), SizeIs(1));
}

TEST_F(GrpcDoorTest, ConflictsAreListedPageByPageAndBadQueriesNameTheirFields) {
    ConflictPage page;
    page.keys = {{.partition = base::PartitionId(7),
                  .key = std::string("k\0", 2),
                  .siblings = 3,
                  .value_bytes = 99,
                  .latest = {.wall_ms = 1234, .logical = 5}}};
    page.partitions = {base::PartitionId(6), base::PartitionId(7)};
    page.next = ConflictCursor{.partition = base::PartitionId(7), .key = "l"};
    node().conflict_answer = page;
    const auto list = [this](const v1::ListConflictsRequest& request,
                             v1::ListConflictsResponse& response) {
        grpc::ClientContext context;
        const bool is_ok = admin_->ListConflicts(&context, request, &response).ok();
        return is_ok ? std::string() : reason_in(context);
    };
    v1::ListConflictsRequest request;
    v1::ListConflictsResponse response;
    ASSERT_EQ(list(request, response), "");
    EXPECT_EQ(node().conflict_queries[0].name_space, "default");
    EXPECT_EQ(node().conflict_queries[0].keys_max, 100u);
    ASSERT_EQ(response.conflicts_size(), 1);
    EXPECT_EQ(response.conflicts(0).key(), std::string("k\0", 2));
    EXPECT_EQ(response.conflicts(0).partition(), 7u);
    EXPECT_EQ(response.conflicts(0).siblings(), 3u);
    EXPECT_EQ(response.conflicts(0).value_bytes(), 99u);
    EXPECT_EQ(response.conflicts(0).latest_ms(), 1234u);
    EXPECT_THAT(response.partitions(), testing::ElementsAre(6u, 7u));
    EXPECT_FALSE(response.is_last());

    request.set_namespace_("carts");
    request.set_partition(response.next_partition());
    request.set_key(response.next_key());
    request.set_keys_max(5);
    node().conflict_answer = ConflictPage{};
    response.Clear();
    ASSERT_EQ(list(request, response), "");
    EXPECT_TRUE(response.is_last());
    const ConflictQuery& asked = node().conflict_queries[1];
    EXPECT_EQ(asked.name_space, "carts");
    EXPECT_EQ(asked.from.partition, base::PartitionId(7));
    EXPECT_EQ(asked.from.key, "l");
    EXPECT_EQ(asked.keys_max, 5u);

    for (const auto& spoil : std::vector<std::function<void(v1::ListConflictsRequest&)>>{
             [](v1::ListConflictsRequest& bad) { bad.set_partition(65536); },
             [](v1::ListConflictsRequest& bad) { bad.set_namespace_(std::string(256, 'n')); },
             [](v1::ListConflictsRequest& bad) {
                 bad.set_key(std::string((64u << 10) + 2, 'k'));
             }}) {
        v1::ListConflictsRequest bad = request;
        spoil(bad);
        EXPECT_EQ(list(bad, response), "invalid_request");
    }
    EXPECT_EQ(node().conflict_queries.size(), 2u);
}

TEST_F(GrpcDoorTest, MoreRequestsThanTheDoorMayHoldAreRefusedAsOverload) {
    GrpcDoorOptions options;
    options.requests_in_flight_max = 2;
    open(options);
    node().hold();
    std::vector<std::thread> waiting;
    for (int i = 0; i < 2; ++i) {
        waiting.emplace_back([this] { EXPECT_TRUE(put(put_of("k", "v")).ok()); });
    }
    ASSERT_TRUE(node().wait_for_held(2));
    EXPECT_EQ(put_reason(put_of("k", "v")), "overloaded");
    node().release();
    for (std::thread& thread : waiting) {
        thread.join();
    }
    // A request is given back when its answer has left, a moment after the client has it.
    while (doors_->grpc->admission().requests() != 0) {
        std::this_thread::yield();
    }
    EXPECT_TRUE(put(put_of("k", "v")).ok());
}

TEST_F(GrpcDoorTest, AnAdminsAnswerIsHeldAgainstTheDoorUntilItHasLeft) {
    ConflictPage page;
    page.keys.assign(128, {.key = std::string(size_t{64} << 10, 'k')});
    node().conflict_answer = page;
    constexpr size_t page_bytes = size_t{8} << 20;
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = admin_->AsyncListConflicts(&context, {}, &queue);
    const auto wait = [&queue] {
        void* tag = nullptr;
        bool ok = false;
        EXPECT_TRUE(queue.Next(&tag, &ok) && ok);
    };
    call->ReadInitialMetadata(nullptr);
    wait();
    // Of the rest no more is sent than fits the window of a stream that nobody reads.
    EXPECT_GT(doors_->grpc->admission().bytes(), page_bytes);
    v1::ListConflictsResponse response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    wait();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.conflicts_size(), 128);
    while (doors_->grpc->admission().requests() != 0) {
        std::this_thread::yield();
    }
    EXPECT_EQ(doors_->grpc->admission().bytes(), 0u);
}

TEST_F(GrpcDoorTest, AReplicaIsInspectedAndWhatWasReadForItIsTold) {
    node().on_inspect = [](const InspectRequest& asked) {
        EXPECT_EQ(asked.partition, base::PartitionId(7));
        EXPECT_EQ(asked.after, "a");
        InspectResult result;
        result.up_to = "b";
        result.bytes_read = 99;
        return result;
    };
    v1::InspectReplicaRequest request;
    request.set_partition(7);
    request.set_after("a");
    grpc::ClientContext context;
    v1::InspectReplicaResponse response;
    ASSERT_TRUE(admin_->InspectReplica(&context, request, &response).ok());
    EXPECT_EQ(response.up_to(), "b");
    EXPECT_EQ(response.bytes_read(), 99u);
}

TEST_F(GrpcDoorTest, DrainFinishesWhatIsUnderWayAndRefusesWhatIsNew) {
    node().hold();
    auto waiting = std::async(std::launch::async, [this] { return put(put_of("k", "v")).ok(); });
    ASSERT_TRUE(node().wait_for_held(1));
    EXPECT_FALSE(doors_->grpc->drain(milliseconds(20))) << "one is still under way";
    EXPECT_EQ(put_reason(put_of("k", "v")), "stopping");
    std::string health;
    ASSERT_TRUE(raw_call(channel_, "/grpc.health.v1.Health/Check", "", health).ok());
    EXPECT_EQ(health, "\x08\x02") << "NOT_SERVING";
    node().answer_all();
    EXPECT_TRUE(doors_->grpc->drain(seconds(5)));
    EXPECT_TRUE(waiting.get());
}

TEST_F(GrpcDoorTest, ACallWhoseCallbackTheNodeDropsIsAnsweredAllTheSame) {
    node().hold();
    std::thread waiting([this] {
        grpc::ClientContext context;
        v1::WriteResponse response;
        EXPECT_EQ(kv_->Put(&context, put_of("k", "v"), &response).error_code(),
                  grpc::StatusCode::UNAVAILABLE);
        EXPECT_TRUE(is_outcome_unknown(context));
    });
    ASSERT_TRUE(node().wait_for_held(1));
    node().drop_all();
    waiting.join();
    doors_->grpc->shutdown();
}

TEST_F(GrpcDoorTest, ACancelledCallIsForgottenOnceTheNodeHasAnswered) {
    node().hold();
    {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + milliseconds(100));
        v1::WriteResponse response;
        EXPECT_EQ(kv_->Put(&context, put_of("k", "v"), &response).error_code(),
                  grpc::StatusCode::DEADLINE_EXCEEDED);
    }
    ASSERT_TRUE(node().wait_for_held(1));
    node().release();
    EXPECT_TRUE(doors_->grpc->drain(seconds(5)));
    EXPECT_EQ(doors_->grpc->admission().bytes(), 0u);
}

}  // namespace
}  // namespace starling::node
