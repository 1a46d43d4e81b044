"""Bytes as people write them."""

import pytest

from seqprobe.estimators import byte_counts


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2GiB", 2 << 30), ("512 MiB", 512 << 20), ("1000", 1000), ("1.5K", 1536),
        ("8 GB", 8 << 30), ("64 bytes", 64), ("64B", 64), ("much", None), ("2 apples", None),
        ("-3GiB", None), ("", None),
    ],
)  # fmt: skip
def test_read(text, count):
    assert byte_counts.read(text) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (24.5 * 1024, "24.5 KiB"),
     (3 << 30, "3.0 GiB"), (5000 << 40, "5,000.0 TiB")],
)  # fmt: skip
def test_written(count, text):
    assert byte_counts.written(count) == text
