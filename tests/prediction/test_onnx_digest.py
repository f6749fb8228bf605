import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.prediction.onnx_digest import ONNX_DIGEST_KEY, UNSEALED, is_intact, sealed

ENTRY = ONNX_DIGEST_KEY.encode() + b"\x12\x40"
MODEL = b"weights" * 30 + ENTRY + UNSEALED.encode() + b"more" * 9


def test_a_sealed_model_is_intact_and_differs_only_in_the_digest():
    found = sealed(MODEL)
    assert is_intact(found) and len(found) == len(MODEL) and not is_intact(MODEL)
    assert found.startswith(b"weights" * 30 + ENTRY) and found.endswith(b"more" * 9)
    assert is_intact(b"a model of an earlier version")


@given(st.integers(0, len(MODEL) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(at, change):
    found = sealed(MODEL)
    spoilt = found[:at] + bytes([found[at] ^ change]) + found[at + 1 :]
    key = range(len(b"weights" * 30), len(b"weights" * 30) + len(ONNX_DIGEST_KEY))
    assert not is_intact(spoilt) or at in key  # a changed name of the key is that of a model without a digest


@pytest.mark.parametrize("content", [b"", MODEL + MODEL, ENTRY + b"1" * 64])
def test_a_model_with_no_place_for_it_is_refused(content):
    with pytest.raises(ValueError, match="must be one"):
        sealed(content)


def test_two_digests_are_not_intact():
    assert not is_intact(sealed(MODEL) + ENTRY + UNSEALED.encode())
