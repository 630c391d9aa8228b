// No target names this file.
