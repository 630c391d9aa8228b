#include "node/daemon/secret.h"

#include "absl/strings/ascii.h"
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/status_macros.h"

namespace starling::node {

namespace {

constexpr size_t secret_bytes_min = 16;
constexpr size_t secret_bytes_max = 4096;
constexpr mode_t others = S_IRWXG | S_IRWXO;

absl::StatusOr<std::string> read_secret(env::FileSystem& files, const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && (info.st_mode & others) != 0) {
        return absl::FailedPreconditionError(
            fmt::format("{}: the cluster secret may be read by others (mode {:04o}): chmod 600 it, "
                        "and make a new one if it may have been read",
                        path,
                        info.st_mode & 07777));
    }
    auto content = env::read_file(files, path, secret_bytes_max);
    if (!content.ok()) {
        return absl::Status(
            content.status().code(),
            fmt::format("no cluster secret: {}", std::string(content.status().message())));
    }
    std::string secret(absl::StripAsciiWhitespace(*content));
    if (secret.size() < secret_bytes_min) {
        return absl::FailedPreconditionError(
            fmt::format("{}: the cluster secret has {} bytes, at least {} are needed",
                        path,
                        secret.size(),
                        secret_bytes_min));
    }
    return secret;
}

std::string draw_secret(env::Random& random) {
    std::string text;
    for (int i = 0; i < 4; ++i) {
        text += fmt::format("{:016x}", random.next());
    }
    return text + "\n";
}

// Another process may do the same at this moment: of a link, only one comes into being, and it is
// whole.
absl::Status make_secret(env::FileSystem& files,
                         env::Random& random,
                         const std::string& directory,
                         const std::string& path) {
    STARLING_RETURN_IF_ERROR(files.create_directory(directory));
    const std::string draft = fmt::format("{}.{:016x}", path, random.next());
    STARLING_RETURN_IF_ERROR(env::replace_file(files, draft, draw_secret(random)));
    absl::Status linked = files.link(draft, path);
    if (absl::IsAlreadyExists(linked)) {
        linked = absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(files.remove(draft));
    STARLING_RETURN_IF_ERROR(linked);
    return files.sync_directory(directory);
}

}  // namespace

absl::StatusOr<std::string> load_secret(env::FileSystem& files,
                                        env::Random& random,
                                        const SecretPlaces& places,
                                        const std::function<void(std::string_view)>& log) {
    if (!places.configured.empty()) {
        return read_secret(files, places.configured);
    }
    if (!places.from_environment.empty()) {
        return read_secret(files, places.from_environment);
    }
    if (places.home.empty()) {
        return absl::NotFoundError(
            "no cluster secret: neither cluster_secret_file nor $STARLING_CLUSTER_SECRET_FILE nor "
            "$HOME is set");
    }
    const std::string directory = places.home + "/.starling";
    const std::string path = directory + "/cluster_secret";
    STARLING_ASSIGN_OR_RETURN(const bool exists, files.exists(path));
    if (!exists) {
        STARLING_RETURN_IF_ERROR(make_secret(files, random, directory, path));
        log(fmt::format("made a cluster secret at {}; nodes of one cluster need the same", path));
    }
    return read_secret(files, path);
}

}  // namespace starling::node
