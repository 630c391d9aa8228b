int table() {
    return 1;
}
