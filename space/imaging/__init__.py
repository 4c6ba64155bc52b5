"""Files in, one clean 8-bit grayscale radiograph out: PNG, JPEG, TIFF, BMP, WebP, DICOM, and archives of them.

May import: space.
"""
