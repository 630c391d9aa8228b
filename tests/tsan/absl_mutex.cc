// Tells the thread sanitizer of absl::Mutex. Debian's libabsl is not built for it: without this,
// all that such a mutex protects looks like a race. The linker sends each call of the functions
// below to the `__wrap_` beside it (see CMakeLists.txt); the real mutex still does the locking.
//
// What our code calls is wrapped and nothing else: a thread-sanitized target that calls another
// function of absl::Mutex reports a race that is none, and that function belongs here.

#include "absl/synchronization/mutex.h"
#include <sanitizer/tsan_interface.h>

namespace {

void unlocked(absl::Mutex* mutex) {
    __tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
}

void locked(absl::Mutex* mutex) {
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

}  // namespace

// The names are the compiler's for absl::Mutex::Lock, TryLock, Unlock, ReaderLock, ReaderUnlock,
// and absl::CondVar::Wait.
extern "C" {

void __real__ZN4absl7debian35Mutex4LockEv(absl::Mutex* mutex);
void __wrap__ZN4absl7debian35Mutex4LockEv(absl::Mutex* mutex) {
    __tsan_mutex_pre_lock(mutex, 0);
    __real__ZN4absl7debian35Mutex4LockEv(mutex);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

bool __real__ZN4absl7debian35Mutex7TryLockEv(absl::Mutex* mutex);
bool __wrap__ZN4absl7debian35Mutex7TryLockEv(absl::Mutex* mutex) {
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
    const bool is_locked = __real__ZN4absl7debian35Mutex7TryLockEv(mutex);
    const unsigned failed = is_locked ? 0 : __tsan_mutex_try_lock_failed;
    __tsan_mutex_post_lock(mutex, __tsan_mutex_try_lock | failed, 0);
    return is_locked;
}

void __real__ZN4absl7debian35Mutex6UnlockEv(absl::Mutex* mutex);
void __wrap__ZN4absl7debian35Mutex6UnlockEv(absl::Mutex* mutex) {
    __tsan_mutex_pre_unlock(mutex, 0);
    __real__ZN4absl7debian35Mutex6UnlockEv(mutex);
    __tsan_mutex_post_unlock(mutex, 0);
}

void __real__ZN4absl7debian35Mutex10ReaderLockEv(absl::Mutex* mutex);
void __wrap__ZN4absl7debian35Mutex10ReaderLockEv(absl::Mutex* mutex) {
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_read_lock);
    __real__ZN4absl7debian35Mutex10ReaderLockEv(mutex);
    __tsan_mutex_post_lock(mutex, __tsan_mutex_read_lock, 0);
}

void __real__ZN4absl7debian35Mutex12ReaderUnlockEv(absl::Mutex* mutex);
void __wrap__ZN4absl7debian35Mutex12ReaderUnlockEv(absl::Mutex* mutex) {
    __tsan_mutex_pre_unlock(mutex, __tsan_mutex_read_lock);
    __real__ZN4absl7debian35Mutex12ReaderUnlockEv(mutex);
    __tsan_mutex_post_unlock(mutex, __tsan_mutex_read_lock);
}

void __real__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(absl::CondVar* changed, absl::Mutex* mutex);
void __wrap__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(absl::CondVar* changed, absl::Mutex* mutex) {
    unlocked(mutex);
    __real__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(changed, mutex);
    locked(mutex);
}

}  // extern "C"
