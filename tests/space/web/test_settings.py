"""Settings by environment variables."""

import socket

import pytest

from space.errors import UsageError
from space.web.settings import Settings, read_port, read_settings


def test_variables_set_limits():
    settings = read_settings({"MAX_UPLOAD_MB": "20", "MAX_PIXELS": "1000", "ALLOW_URL_INPUT": "0"})
    assert settings == Settings(max_upload_mb=20, max_pixels=1000, allow_url_input=0)
    assert (settings.limits.max_bytes, settings.limits.max_pixels) == (20_000_000, 1000)


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, 1),
        ({"GRADIO_SERVER_NAME": "127.0.0.1"}, 1),
        ({"GRADIO_SERVER_NAME": "192.0.2.1"}, 0),
        ({"SPACE_ID": "someone/demo"}, 0),
        ({"GRADIO_SERVER_NAME": "192.0.2.1", "ALLOW_URL_INPUT": "1"}, 1),
        ({"ALLOW_URL_INPUT": "0"}, 0),
    ],
)
def test_addresses_are_fetched_by_default_only_where_nobody_else_can_ask(environment, allowed):
    assert read_settings(environment).allow_url_input == allowed


@pytest.mark.parametrize(
    "environment", [{"MAX_QUEUE": "-1"}, {"MAX_PIXELS": "0"}, {"ALLOW_URL_INPUT": "2"}, {"CONCURRENCY": "x"}]
)
def test_what_makes_no_sense_is_a_usage_error(environment):
    (name,) = environment
    with pytest.raises(UsageError, match=name):
        read_settings(environment)


def test_a_port_in_use_is_told_before_a_model_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        with pytest.raises(UsageError, match=f"cannot be served at 127.0.0.1:{port} .* choose another port"):
            read_port({"GRADIO_SERVER_PORT": port})
    assert read_port({"GRADIO_SERVER_PORT": port}) == int(port)


@pytest.mark.parametrize("port", ["many", "0", "65536", "-1", "7860.0"])
def test_what_is_no_port_is_a_usage_error(port):
    with pytest.raises(UsageError, match="must be a port number"):
        read_port({"GRADIO_SERVER_PORT": port})
