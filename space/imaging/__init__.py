"""Files in, one clean 8-bit grayscale radiograph out: PNG, JPEG, DICOM, and the archives that they lie in.

May import: space.
"""
