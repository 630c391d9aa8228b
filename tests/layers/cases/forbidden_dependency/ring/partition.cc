int partition() {
    return 1;
}
