// The whole program of each link_test_<module>: that it links is the test.
int main() {
    return 0;
}
