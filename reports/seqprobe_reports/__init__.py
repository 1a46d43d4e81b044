"""HTML views of `seqprobe.report/1`; nothing here computes a measurement."""
