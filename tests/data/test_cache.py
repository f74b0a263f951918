import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from strideflax.data.cache import cached
from strideflax.files import cache_folder


class Decoder:
    """Counts how often it was needed."""

    def __init__(self) -> None:
        self.calls = 0
        self.arrays = [np.arange(60, dtype=np.uint8).reshape(3, 4, 5), np.arange(3, dtype=np.int32)]

    def __call__(self) -> list[np.ndarray]:
        self.calls += 1
        return self.arrays


@pytest.fixture
def decode() -> Decoder:
    return Decoder()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(b"the source")
    return path


def check(arrays, decode: Decoder) -> None:
    for got, expected in zip(arrays, decode.arrays, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def entry(cache: Path) -> Path:
    (only,) = cache.iterdir()
    return only


def test_second_time_is_read_not_decoded(cache, source, decode):
    for _ in range(3):
        check(cached([source], decode), decode)
    assert decode.calls == 1
    manifest = json.loads(entry(cache).read_bytes().split(b"\n")[0])
    assert manifest["sources"] == [[str(source), 10, source.stat().st_mtime_ns]]


@pytest.mark.parametrize("change", ["size", "time"])
def test_changed_source_is_decoded_again_in_place_of_the_old(cache, source, decode, change):
    cached([source], decode)
    if change == "size":
        source.write_bytes(b"longer than before")
    else:
        os.utime(source, ns=(0, 12345))
    decode.arrays = [np.zeros(2, np.uint8)]
    check(cached([source], decode), decode)
    assert decode.calls == 2
    entry(cache)  # one entry, not two


@pytest.mark.parametrize("place", [0, 5, 15, 40, 200, -200, -1])
def test_flipped_bit_is_noticed_and_mended(cache, source, decode, place):
    cached([source], decode)
    data = bytearray(entry(cache).read_bytes())
    data[place] ^= 1
    entry(cache).write_bytes(data)
    check(cached([source], decode), decode)
    assert decode.calls == 2
    check(cached([source], decode), decode)
    assert decode.calls == 2


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\xfe", b'{"version": 1}\n'])
def test_entry_that_is_something_else_is_replaced(cache, source, decode, content):
    cached([source], decode)
    entry(cache).write_bytes(content)
    check(cached([source], decode), decode)
    assert decode.calls == 2


def test_truncated_entry_is_replaced(cache, source, decode):
    cached([source], decode)
    entry(cache).write_bytes(entry(cache).read_bytes()[:-7])
    check(cached([source], decode), decode)
    assert decode.calls == 2


@pytest.mark.parametrize("fails", ["open", "replace"])
def test_full_disk_costs_the_cache_not_the_run(cache, source, decode, monkeypatch, fails):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, fails, full)
    check(cached([source], decode), decode)
    assert list(cache.iterdir()) == []  # nothing half-written


def test_folder_that_cannot_be_made_costs_the_cache_not_the_run(source, decode, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("STRIDEFLAX_CACHE", str(tmp_path / "file" / "cache"))
    check(cached([source], decode), decode)


def test_source_that_changes_while_it_is_decoded_is_not_kept(cache, source, decode):
    def slow() -> list[np.ndarray]:
        source.write_bytes(b"changed meanwhile")
        return decode()

    check(cached([source], slow), decode)
    assert list(cache.iterdir()) == []


def test_many_at_once_all_get_the_arrays(cache, source, decode):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: cached([source], decode), range(40)))
    for arrays in results:
        check(arrays, decode)
    entry(cache)  # one whole file is left


def test_folder_is_chosen_by_the_environment(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.setenv("STRIDEFLAX_CACHE", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/strideflax")
