"""A model repository in, probabilities, class activation maps and the guard's opinion out.

May import: space, space.imaging.
"""
