// What the thread sanitizer does not report, each with its reason. Only code of libraries belongs
// here, which are not instrumented; a race in our own is fixed.

extern "C" const char* __tsan_default_suppressions();

extern "C" const char* __tsan_default_suppressions() {
    return "";
}
