"""The runtime: all that a served model needs, and the only code that ships to a Space.

May import: nothing of this project outside `space`.
"""
