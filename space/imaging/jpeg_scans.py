"""A limit on the scans of a JPEG file, each of which takes as long to decode as a whole image."""

from space.errors import ErrorCode, XrayError

START_OF_SCAN, MOST_SCANS = b"\xff\xda", 100


def check_scans(jpeg: bytes) -> None:
    """Refuse a JPEG file that says the same over and over: each scan takes as long as a whole image.

    Raises:
        XrayError: It has more than `MOST_SCANS`; a progressive file has about ten.
    """
    if jpeg.count(START_OF_SCAN) > MOST_SCANS:
        raise XrayError(ErrorCode.DAMAGED, f"The JPEG data have more than {MOST_SCANS} scans.")
