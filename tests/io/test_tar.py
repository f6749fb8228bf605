import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.io.tar import BLOCK, END, read_members, tar_member

MEMBERS = st.lists(st.tuples(st.text("abc.123-", min_size=1, max_size=100), st.binary(max_size=1200)), max_size=5)


@given(MEMBERS)
def test_members_are_those_of_tarfile(members):
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    ours = b"".join(tar_member(name, content) for name, content in members)
    assert expected.getvalue().startswith(ours + END)
    assert not any(expected.getvalue()[len(ours) :])
    assert list(read_members(ours + END, "x.tar")) == members


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_name_that_no_header_holds_is_refused(name):
    with pytest.raises(QumadeError, match=r"^Invalid file name: got .*; must have 1 to 100 bytes"):
        tar_member(name, b"")


@pytest.mark.parametrize("cut", [1, BLOCK - 1, BLOCK, BLOCK + 9])
def test_a_torn_member_is_refused_by_the_name_of_the_file(cut):
    data = tar_member("a.jpg", b"0123456789")
    with pytest.raises(QumadeError, match=r"^Invalid tar: got a (damaged header|torn member).* in x\.tar; must be"):
        list(read_members(data[:cut], "x.tar"))


def test_a_changed_header_is_refused():
    data = bytearray(tar_member("a.jpg", b"0123456789"))
    data[3] ^= 1
    with pytest.raises(QumadeError, match="damaged header"):
        list(read_members(bytes(data), "x.tar"))
    link = tarfile.TarInfo("a")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(QumadeError, match="must be a whole file"):
        list(read_members(link.tobuf(tarfile.USTAR_FORMAT), "x.tar"))
