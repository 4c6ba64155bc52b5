"""Pushes to a Hub that fails: what may be tried again is, and nothing is ever left half done."""

import pytest

from tests.conftest import run_python
from tests.hub.test_push import online, push, pushed


@pytest.mark.parametrize(
    ("where", "status", "times"),
    [
        ("POST /api/repos/create", 500, 1),
        ("preupload", 503, 2),
        ("PUT /lfs", 500, 1),
        ("PUT /lfs", 0, 1),
        ("/commit/main", 502, 1),
        ("/commit/main", 0, 1),
        ("GET /datasets/someone", 500, 1),
    ],
)
def test_errors_that_pass_are_tried_again(hub, phantoms, where, status, times):
    hub.fail(where, status, times)
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    assert not any(fault.times for fault in hub.faults)
    assert len(hub.repositories["datasets/someone/phantoms"].commits) == 2


def test_the_hubs_wish_to_wait_is_heeded(hub, phantoms):
    hub.fail("/commit/main", 429, Retry_After="1")
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("where", "status", "code", "expected"),
    [
        ("PUT /lfs", 403, 2, "write permission"),
        ("/commit/main", 401, 2, "does not know this token"),
        ("/commit/main", 400, 1, "push again"),
        ("/commit/main", 500, 1, "push again"),
    ],
)
def test_errors_that_stay_leave_nothing_half_done_and_a_later_push_completes(
    hub, phantoms, where, status, code, expected
):
    hub.fail(where, status, times=99)
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert (done.returncode, expected in done.stderr) == (code, True), done.stderr
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not hub.files("datasets/someone/phantoms")
    assert not (phantoms / "pushed.json").exists()
    hub.faults.clear()
    assert push(hub, "dataset", phantoms, "someone/phantoms").returncode == 0


IMPATIENT = """
import hub.publishing.repository, hub.publishing.retry, hub.push
hub.publishing.repository.LONGEST_SILENCE, hub.publishing.retry.FIRST_WAIT = 0.5, 0.1
hub.push.run_cli(hub.push.main)
"""


def test_a_commit_whose_answer_is_lost_is_made_once(hub, phantoms):
    hub.fail("/commit/main", None, seconds=2)
    done = run_python("-c", IMPATIENT, "dataset", phantoms, "someone/phantoms", **online(hub))
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["datasets/someone/phantoms"]
    assert len(repository.commits) == 2
    assert pushed(phantoms)["commit"] == repository.refs["main"]
    assert done.stdout.startswith("pushed: ")


def test_slow_downloads_are_waited_for(hub, phantoms):
    hub.fail("/resolve/", None, seconds=2)
    slow = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    done = push(hub, "dataset", phantoms, "someone/phantoms", **slow)
    assert done.returncode == 0, done.stderr


def test_a_hub_that_never_answers_ends_in_one_sentence(hub, phantoms):
    hub.fail("GET /api/datasets", None, times=99, seconds=2)
    done = run_python("-c", IMPATIENT, "dataset", phantoms, "someone/phantoms", **online(hub))
    assert done.returncode == 1
    assert "the Hub cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert not hub.files("datasets/someone/phantoms")


@pytest.mark.parametrize(
    ("where", "fault", "code", "expected"),
    [
        ("/api/repos/create", {"status": 200}, 1, "no answer that makes sense"),  # such as a hotel's page
        ("/api/repos/create", {"status": 402}, 1, "402 from /api/repos/create: as the test asks"),
        ("preupload", {"status": 403}, 2, "as the test asks"),
        ("/tag/", {"status": 400}, 1, "is there, without the tag"),
    ],
)
def test_what_the_hub_says_is_passed_on(hub, phantoms, where, fault, code, expected):
    hub.fail(where, times=99, **fault)
    done = run_python("-c", IMPATIENT, "dataset", phantoms, "someone/phantoms", "--tag", "v1", **online(hub))
    assert (done.returncode, expected in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_somebody_elses_commit_in_between_is_not_lost_sight_of(hub, phantoms):
    assert push(hub, "dataset", phantoms, "someone/phantoms").returncode == 0
    repository = hub.repositories["datasets/someone/phantoms"]
    (phantoms / "figures" / "sizes.png").unlink()

    def colleague() -> None:
        files = repository.commits[repository.refs["main"]] | {"README.md": b"something else"}
        repository.commits["c" * 40], repository.refs["main"] = files, "c" * 40

    hub.before["/commit/main"] = colleague
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    assert hub.files("datasets/someone/phantoms")["README.md"] != b"something else"
    assert "c" * 40 in repository.commits  # and theirs is in the history


def test_a_full_disk_in_the_check_says_that_the_commit_is_there(hub, phantoms):
    # A file may not grow beyond so many bytes: small ones are written still, shards are not.
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    command = f"{full}; import hub.push; hub.push.run_cli(hub.push.main)"
    done = run_python("-c", command, "dataset", phantoms, "someone/phantoms", **online(hub))
    assert done.returncode == 1
    assert "could not be downloaded for a check: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    commit = hub.repositories["datasets/someone/phantoms"].refs["main"]
    assert commit in done.stderr
    assert not (phantoms / "pushed.json").exists()
    again = push(hub, "dataset", phantoms, "someone/phantoms")
    assert again.returncode == 0, again.stderr
    assert pushed(phantoms)["commit"] == commit


def test_another_owner_is_refused(hub, phantoms):
    done = push(hub, "dataset", phantoms, "others/phantoms")
    assert (done.returncode, "write permission" in done.stderr) == (2, True), done.stderr


def test_what_comes_back_changed_is_told(hub, phantoms):
    put = type(hub.objects).__setitem__

    class Garbling(dict):
        def __setitem__(self, oid, content):
            put(self, oid, content[:-1] + b"x")

    hub.objects = Garbling()
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert (done.returncode, "does not give back" in done.stderr) == (1, True), done.stderr
    assert not (phantoms / "pushed.json").exists()
