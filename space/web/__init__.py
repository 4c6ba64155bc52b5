"""The Gradio page, its endpoints, and everything between a visitor and a model.

May import: space, space.imaging, space.inference, space.results, space.web.texts.
"""
