"""What every room needs: outputs that are complete or absent, templates, command-line values.

May import: space.
"""
