"""Bodies of three kinds, and what is wrong with others."""

import base64
import json

import pytest

from space.web.rest.bodies import FORM, JSON, Parameters, kind_of, most_bytes, read_upload
from space.web.rest.problems import Problem
from tests.space.web.rest.asking import form

BOUNDED = b"multipart/form-data; boundary=xyz"
FILE = 'name="file"; filename="a;b.png"'


@pytest.mark.parametrize("content", [b"\x89PNG\r\n--xyz--\r\n", b"", bytes(range(256)) * 300, b"\r\n--xy", b"\r\n" * 9])
def test_a_file_is_the_same_in_every_kind_of_body(content):
    for kind in (b"", b"image/png", b"application/x-www-form-urlencoded", b"application/octet-stream"):
        assert read_upload(content, kind).content == content
    body = json.dumps({"inputs": base64.b64encode(content).decode()}).encode()
    upload = read_upload(body, b"application/json; charset=utf-8")
    assert (upload.content, upload.parameters) == (content, Parameters())
    assert len(body) <= most_bytes(JSON, len(content))
    if b"--xyz" not in content:
        body = form((FILE, content))
        assert read_upload(body, b"Multipart/Form-Data; boundary=xyz").content == content
        assert len(body) <= most_bytes(FORM, len(content))


def test_parameters_are_read_and_checked():
    def of(parameters) -> Parameters | None:
        body = json.dumps({"inputs": "", "parameters": parameters})
        return read_upload(body.encode(), b"application/json").parameters

    assert of({"top_k": 1, "function_to_apply": "sigmoid"}) == Parameters(1, "sigmoid")
    assert of(None) == of({}) == Parameters()
    for wrong, name in (
        ({"top_k": 0}, "top_k"),
        ({"top_k": "many"}, "top_k"),
        ({"function_to_apply": "relu"}, "function_to_apply"),
        ({"topk": 1}, "topk"),
        ([1], "parameters"),
    ):
        with pytest.raises(Problem, match=name) as caught:
            of(wrong)
        assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "must be an object"),
        (b'"x"', "must be an object"),
        (b"{}", "inputs"),
        (b'{"inputs": 7}', "inputs"),
        (b'{"inputs": "data:image/png;base64,AAAA"}', "in base64, and nothing else"),
        ('{"inputs": "ä"}'.encode(), "in base64, and nothing else"),
        (b'{"inputs": "", "model": "x"}', "no JSON key 'model'. Allowed: inputs, parameters"),
    ],
)
def test_json_that_is_not_as_it_should_be_is_a_sentence(body, sentence):
    with pytest.raises(Problem) as caught:
        read_upload(body, b"application/json")
    assert sentence in caught.value.sentence
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(), BOUNDED),
        (form(('name="note"', b"text")), BOUNDED),
        (form((FILE, b"a"), (FILE, b"b")), BOUNDED),
        (form((FILE, b"a"))[:-9], BOUNDED),
        (form((FILE, b"a")), b"multipart/form-data"),
        (form((FILE, b"a")), b"multipart/form-data; boundary=other"),
        (form((FILE, b"a")), b"multipart/form-data; boundary=" + b"x" * 10_000),
        (b"no form", BOUNDED),
        (b"", BOUNDED),
        (b"--xyz\r\n" + b"X-A: b\r\n" * 10_000, BOUNDED),
        (b"--xyz\r\nContent-Disposition: " + b"x" * 100_000 + b"\r\n\r\n", BOUNDED),
    ],
)
def test_a_form_without_exactly_one_file_is_refused(body, content_type):
    with pytest.raises(Problem) as caught:
        read_upload(body, content_type)
    assert caught.value.status == 400


def test_fields_beside_the_file_are_no_obstacle():
    assert read_upload(form(('name="note"', b"text"), (FILE, b"a")), BOUNDED).content == b"a"


def test_the_kind_is_told_by_the_media_type_alone():
    assert kind_of(b"Application/JSON; charset=latin-1") == JSON
    assert kind_of(b'multipart/form-data; boundary="a b"') == FORM
    assert kind_of(b"") == ""
    assert most_bytes("image/png", 1000) == 1000
