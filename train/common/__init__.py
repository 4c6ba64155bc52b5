"""What every room needs: outputs that appear whole or not at all, templates, command-line values.

May import: space.
"""
