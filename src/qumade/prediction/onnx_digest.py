"""A SHA-256 inside an .onnx file: of its bytes, with zeros in place of the digest.

ONNX Runtime believes any weights, so a file that a disk has spoilt would predict wrong masks without a word.
"""

import hashlib
import re

__all__ = ["ONNX_DIGEST_KEY", "UNSEALED", "is_intact", "sealed"]

ONNX_DIGEST_KEY = "qumade.sha256"
"""The metadata that holds the digest; `sealed` fills it in where a model has it with the value UNSEALED."""
UNSEALED = "0" * 64

# In a protobuf a text follows its field number (2 << 3 | 2 for the value of a metadata entry) and its length.
_ENTRY = re.compile(re.escape(ONNX_DIGEST_KEY.encode()) + rb"\x12\x40([0-9a-f]{64})")


def sealed(content: bytes) -> bytes:
    """Return the bytes of a model with their digest in place of UNSEALED. Raises ValueError if it has not one entry."""
    found = _ENTRY.findall(content)
    if found != [UNSEALED.encode()]:
        raise ValueError(f"got {len(found)} entries for a digest; must be one, with {UNSEALED[:4]}...")
    digest = hashlib.sha256(content).hexdigest()
    return _ENTRY.sub(lambda match: match[0][:-64] + digest.encode(), content)


def is_intact(content: bytes) -> bool:
    """Return whether the bytes of a model are those that were sealed; True for one without a digest, as earlier
    versions wrote it."""
    found = _ENTRY.findall(content)
    if not found:
        return ONNX_DIGEST_KEY.encode() not in content
    if len(found) > 1:
        return False
    unsealed = _ENTRY.sub(lambda match: match[0][:-64] + UNSEALED.encode(), content)
    return bool(hashlib.sha256(unsealed).hexdigest() == found[0].decode())
