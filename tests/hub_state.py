"""What a Hub for tests holds, and how it is made to misbehave (see `tests.hub_server`)."""

from collections.abc import Callable
from dataclasses import dataclass, field

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_token_of_the_tests"  # noqa: S105 - opens nothing but this server
LFS = (".safetensors", ".parquet")


@dataclass
class Repository:
    """A repository: {commit: {path: content}}, and the commit of every branch and tag."""

    private: bool = True
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {COMMIT: {}})
    refs: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})

    def find(self, revision: str) -> str | None:
        """The commit that a branch, tag or SHA means."""
        return self.refs.get(revision, revision if revision in self.commits else None)


@dataclass
class Fault:
    """An answer in place of the right one: for requests whose method and path contain `where`, `times` times."""

    where: str
    status: int | None  # 0: the connection is cut; None: the right answer, late
    times: int
    seconds: float
    headers: dict[str, str]


class Hub:
    """The server's state, and what tests ask of it."""

    def __init__(self):
        self.repositories: dict[str, Repository] = {}  # by "models/owner/name"
        self.objects: dict[str, bytes] = {}  # LFS, by SHA-256
        self.faults: list[Fault] = []
        self.before: dict[str, Callable[[], None]] = {}  # done once, before a request that contains the key
        self.requests: list[str] = []
        self.endpoint = ""

    def fail(self, where: str, status: int | None, times: int = 1, seconds: float = 0, **headers: str) -> None:
        """Answer requests that contain `where` ("PUT /lfs") with a status, cut the connection (0), or late (None)."""
        self.faults.append(Fault(where, status, times, seconds, headers))

    def fault(self, request: str) -> Fault | None:
        """The fault that this request meets."""
        for fault in self.faults:
            if fault.times and fault.where in request:
                fault.times -= 1
                return fault
        return None

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """What a repository ("models/owner/name") holds."""
        repository = self.repositories[repo]
        return repository.commits[repository.find(revision)]
