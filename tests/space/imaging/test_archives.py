"""Folders and zips: what is listed, what is read, what is refused."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from space.errors import ErrorCode, UsageError, XrayError
from space.imaging.archives import UPLOAD_METHODS, Folder, Zip, ZipLimits, refuse_other_archives
from tests.phantoms import write_images

FROM_STRANGERS = ZipLimits(methods=UPLOAD_METHODS)


def write_zip(path, members: dict[str, bytes], **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_folder_and_zip_list_and_read_the_same(tmp_path):
    names = [
        "a/b.png",
        "a/B.png",
        "c.csv",
        "a/.hidden.png",
        ".git/x",
        "__MACOSX/a/._b.png",
        "a/Thumbs.db",
        "a/.DS_Store",
    ]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    folder = Folder(tmp_path / "in")
    archive = Zip(write_zip(tmp_path / "x.zip", {name: name.encode() for name in names}))
    assert list(folder.sizes) == list(archive.sizes) == ["a/B.png", "a/b.png", "c.csv"]
    assert folder.sizes == archive.sizes
    for name in folder.sizes:
        assert folder.read(name) == archive.read(name) == name.encode()


def test_paths_in_zips_are_normalised(tmp_path):
    names = ["./a/1.png", "a//2.png", "a/3.png"]
    archive = Zip(write_zip(tmp_path / "x.zip", {name: name.encode() for name in names}))
    assert [archive.read(name).decode() for name in ("a/1.png", "a/2.png", "a/3.png")] == names
    with pytest.raises(XrayError, match="more than once"):
        Zip(write_zip(tmp_path / "y.zip", {"a/1.png": b"1", "./a/1.png": b"2"}))


def test_backslashes_of_windows_tools_are_folders(tmp_path):
    names = {"train\\": b"", "train\\A\\1.png": b"1", "train\\A\\.hidden\\2.png": b"2", "train/B/3.png": b"3"}
    archive = Zip(write_zip(tmp_path / "x.zip", names))
    assert {name: archive.read(name) for name in archive.sizes} == {"train/A/1.png": b"1", "train/B/3.png": b"3"}
    with pytest.raises(XrayError, match="more than once"):
        Zip(write_zip(tmp_path / "y.zip", {"a/1.png": b"1", "a\\1.png": b"2"}))


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z x data"),
        (b"Rar!\x1a\x07\x01\0", "unrar x data"),
        (bytes(257) + b"ustar\0" + b"00" + bytes(300), "tar xf data"),
        (gzip.compress(b"data"), "tar xf data"),
        (lzma.compress(b"data"), "tar xf data"),
        (bz2.compress(b"data"), "tar xf data"),
    ],
)
def test_other_archives_are_refused_with_how_to_unpack_them(tmp_path, data, command):
    (tmp_path / "data").write_bytes(data)
    with pytest.raises(UsageError, match=rf"\({command}\) and give the folder"):
        refuse_other_archives(tmp_path / "data")
    refuse_other_archives(write_zip(tmp_path / "x.zip", {"a.png": b"data"}))


def test_a_damaged_lzma_member_is_damage(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.png": os.urandom(3000)}, compression=zipfile.ZIP_LZMA)
    data = bytearray(path.read_bytes())
    data[100:130] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(XrayError) as caught:
        Zip(path).read("a.png")
    assert caught.value.code == "damaged"


def test_pipes_are_not_listed(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert Folder(tmp_path).sizes == {}


def test_linked_folders_are_read_once_and_loops_end(tmp_path):
    write_images(tmp_path / "real", "x.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    assert list(Folder(tmp_path / "in").sizes) == ["link/x.png"]


def test_a_file_that_is_gone_or_too_large_is_named_as_such(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "big.png").write_bytes(bytes(2000))
    folder, archive = Folder(tmp_path), Zip(write_zip(tmp_path / "x.zip", {"big.png": bytes(2000)}))
    with pytest.raises(XrayError) as caught:
        folder.read("gone.png")
    assert caught.value.code == "unreadable"
    for source in (folder, archive):
        with pytest.raises(XrayError) as caught:
            source.read("big.png", limit=1999)
        assert caught.value.code == "too_many_bytes"


@pytest.mark.parametrize(
    "name",
    ["../up.png", "a/../../up.png", "/etc/up.png", "C:/up.png", "a\\..\\..\\up.png", "\\\\host\\up.png", "C:\\up.png"],
)
def test_zips_with_paths_that_lead_out_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        archive.writestr(info, b"data")
    with pytest.raises(XrayError, match="may lead out"):
        Zip(tmp_path / "x.zip")


def test_zips_with_links_duplicates_or_passwords_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(XrayError, match="is a link"):
        Zip(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.png", b"1")
        archive.writestr("a.png", b"2")
    with pytest.raises(XrayError, match="more than once"):
        Zip(tmp_path / "twice.zip")
    data = bytearray(write_zip(tmp_path / "x.zip", {"a.png": b"data"}).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(XrayError, match="encrypted"):
        Zip(tmp_path / "locked.zip")


def test_bombs_are_refused_by_what_they_state(tmp_path):
    bomb = write_zip(tmp_path / "x.zip", {"a.png": bytes(50_000_000)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(XrayError, match="unpacks to 50,000,000 bytes"):
        Zip(bomb)


def test_a_member_that_lies_about_its_size_is_not_read_beyond_it(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.png": bytes(5_000_000)}, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, 100)
    path.write_bytes(data)
    with pytest.raises(XrayError) as caught:
        Zip(path).read("a.png")
    assert caught.value.code == "damaged"


def test_damaged_zips_are_one_clear_error(tmp_path):
    whole = write_zip(tmp_path / "x.zip", {f"{i}.png": os.urandom(300) for i in range(5)}).read_bytes()
    for damaged in (whole[:700], b"PK\x03\x04 and nothing else", b"", b"no zip"):
        (tmp_path / "damaged.zip").write_bytes(damaged)
        with pytest.raises(XrayError, match="download it again"):
            Zip(tmp_path / "damaged.zip")
    flipped = bytearray(whole)
    flipped[whole.index(b"0.png") + 50] ^= 1
    (tmp_path / "flipped.zip").write_bytes(flipped)
    archive = Zip(tmp_path / "flipped.zip")
    with pytest.raises(XrayError) as caught:
        archive.read("0.png")
    assert caught.value.code == "damaged"
    assert len(archive.read("1.png")) == 300


@settings(derandomize=True, max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12), st.integers(0, 400))
def test_a_mutated_zip_is_read_or_refused_but_never_crashes(tmp_path_factory, changes, cut):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train/A/1.png", "train/B/2.png", "x.csv"):
            archive.writestr(name, name.encode() * 9)
    data = bytearray(buffer.getvalue())
    for position, value in changes:
        data[position % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "mutated.zip"
    path.write_bytes(data[: len(data) - cut])
    try:
        archive = Zip(path)
        for name in archive.sizes:
            archive.read(name)
    except XrayError as error:
        assert str(error).endswith((".", "again."))


def test_only_the_methods_asked_for_are_unpacked(tmp_path):
    noise = os.urandom(3000)
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        archive = Zip(write_zip(tmp_path / name, {"a.png": noise}, compression=method), None, FROM_STRANGERS)
        assert archive.read("a.png") == noise
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        path = write_zip(tmp_path / name, {"a.png": noise}, compression=method)
        with pytest.raises(XrayError, match="Use Deflate") as caught:
            Zip(path, None, FROM_STRANGERS).read("a.png")
        assert caught.value.code == ErrorCode.UNSUPPORTED
        assert Zip(path).read("a.png") == noise


def test_a_bomb_of_names_is_refused_under_the_title_that_was_given(tmp_path):
    path = write_zip(tmp_path / "x.zip", {f"{number}.png": b"" for number in range(11)})
    assert len(Zip(path, limits=ZipLimits(max_entries=11)).sizes) == 11
    with pytest.raises(XrayError, match=r"^mine\.zip is refused: it has 11 entries") as caught:
        Zip(path, "mine.zip", ZipLimits(max_entries=10))
    assert caught.value.code == ErrorCode.BAD_ARCHIVE


def test_entries_without_a_name_are_left_out(tmp_path):
    path = write_zip(tmp_path / "x.zip", {".": b"", "./": b"", "a.png": b"data", "b.png": b"data"})
    data = path.read_bytes()
    path.write_bytes(data.replace(b"b.png", b"\0.png"))
    assert list(Zip(path).sizes) == ["a.png"]


def test_many_threads_read_one_zip(tmp_path):
    members = {f"{number}.png": bytes([number]) * 20_000 for number in range(40)}
    archive = Zip(write_zip(tmp_path / "x.zip", members, compression=zipfile.ZIP_DEFLATED))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(archive.read, members)) == list(members.values())


def test_a_closed_zip_is_not_read_and_leaves_no_open_file(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.png": b"data"})

    def is_open() -> bool:
        links = Path("/proc/self/fd").iterdir()
        return any(os.path.realpath(link) == str(path) for link in links)

    with closing(Zip(path)) as archive:
        assert is_open()
    assert not is_open()
    with pytest.raises(XrayError):
        archive.read("a.png")
    with pytest.raises(XrayError, match="is refused"):
        Zip(path, limits=ZipLimits(max_entries=0))
    assert not is_open()
