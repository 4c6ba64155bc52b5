"""The REST API below `/api/`: answered before gradio, without its queue and without files on disk.

May import: space, space.inference, space.web.
"""
