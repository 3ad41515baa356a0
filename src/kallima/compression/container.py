"""The file `.klm`: what it was made with, the size of the image, its bits, and checks of all that.

    3 bytes "KLM"          1 version                    8 fingerprint of the weights
    2 height, 2 width      1 channels of the image      4 CRC-32 of the numbers coded
    … the coded numbers                                 4 CRC-32 of everything before

Numbers are little-endian.
"""

import struct
import zlib
from typing import NamedTuple

from kallima.errors import DataError

MAGIC, VERSION = b"KLM", 1
PIXEL_LIMIT = 1 << 24
"""Images of more pixels are neither written nor read: at width 64 a pixel takes some 280 bytes of memory."""

_HEAD = struct.Struct("<3sB8sHHBI")
_CHECK = struct.Struct("<I")
OVERHEAD = _HEAD.size + _CHECK.size
"""Bytes of a file beside the coded numbers."""

CHANNELS = (1, 3, 4)


class Content(NamedTuple):
    """What a file holds."""

    fingerprint: bytes  # 8 bytes of the weights
    height: int
    width: int
    channels: int  # of the image that went in
    check: int  # CRC-32 of the numbers
    payload: bytes


def pack(content: Content) -> bytes:
    """Return the bytes of a file.

    Raises:
        DataError: the image is too large.
    """
    _refuse_size(content)
    head = _HEAD.pack(MAGIC, VERSION, *content[:-1])
    return head + content.payload + _CHECK.pack(zlib.crc32(head + content.payload))


def unpack(data: bytes) -> Content:
    """Return what the bytes of a file hold; nothing in it is believed before it has been checked.

    Raises:
        DataError: it is not a whole file of this kind; the message follows its name.
    """
    if not data:
        raise DataError("is empty")
    if not data.startswith(MAGIC):
        raise DataError("is not a .klm file")
    if len(data) < OVERHEAD:
        raise DataError("is cut short")
    if data[3] != VERSION:
        raise DataError(f"is of version {data[3]} of the format or damaged: this kallima reads version {VERSION}")
    if _CHECK.unpack(data[-_CHECK.size :])[0] != zlib.crc32(data[: -_CHECK.size]):
        raise DataError("is damaged or cut short: its checksum does not fit")
    _, _, made_with, height, width, channels, check = _HEAD.unpack_from(data)
    content = Content(made_with, height, width, channels, check, data[_HEAD.size : -_CHECK.size])
    if content.channels not in CHANNELS or min(content.height, content.width) < 1:
        raise DataError("is damaged: no image has that shape")
    _refuse_size(content)
    return content


def _refuse_size(content: Content) -> None:
    height, width = content.height, content.width
    if max(height, width) > 0xFFFF or height * width > PIXEL_LIMIT:
        raise DataError(f"is {width}×{height} pixels, more than the limit of {PIXEL_LIMIT:,}")
