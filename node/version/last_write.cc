#include "node/version/last_write.h"

#include <tuple>

#include "node/version/expiry.h"

namespace starling::node {

bool is_earlier(const Sibling& a, const Sibling& b) {
    const auto place = [](const Sibling& sibling) {
        return std::tuple(sibling.time, !is_removal(sibling), sibling.dot);
    };
    return place(a) < place(b);
}

}  // namespace starling::node
