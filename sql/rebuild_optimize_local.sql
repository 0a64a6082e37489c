-- As rebuild_optimize, but not written to the binary log; needs no privilege for that.
OPTIMIZE NO_WRITE_TO_BINLOG TABLE {{table}}
