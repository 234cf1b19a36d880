"""An object store that throttles, stalls, hangs up and refuses: every image once, or one clear reason."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import mock_s3
import pandas
import pytest
from faulty_store import KINDS, Faults, FaultyStore
from images import encoded
from listing import listed, tasks_of
from manifests import add_shards
from PIL import Image
from s3_secrets import SECRET_KEY, environment, leaks

from jobs.cli import main
from pipeline.annotate.null_model import NullSource
from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import load_config
from pipeline.detect.stage import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.execution.worker import Step, Worker
from pipeline.output.commit import commit_shard
from pipeline.output.run_json import read_record, write_record
from pipeline.run.setup import new_record, set_up
from pipeline.shards.shard import ShardTask
from pipeline.storage import locations
from pipeline.storage.locations import read_uri
from pipeline.storage.lock import run_lock
from pipeline.storage.store import LOCK, Storage, is_refusal
from pipeline.upkeep.verify import verify

IMAGES = 12
CONFIG = load_config(None, ["detector.name=null", "model.path=null", "output.meshes=false"])
BUCKET = "photos-bucket"

Connect = Callable[[str], None]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with mock_s3.mock_s3() as found:
        yield found


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Makes this process find the store at an endpoint; waiting between tries costs no time here."""

    def to(endpoint: str) -> None:
        mock_s3.connect(environment(endpoint), monkeypatch)

    async def at_once(seconds: float, result: object = None) -> object:
        return result

    monkeypatch.setattr("s3fs.core.asyncio.sleep", at_once)
    yield to
    mock_s3.disconnect()


@pytest.fixture
def bucket(upstream: str, connect: Connect) -> Iterator[str]:
    """A bucket with `IMAGES` images, one of which is none."""
    connect(upstream)
    filesystem = locations.s3()
    filesystem.mkdir(BUCKET)
    for index in range(IMAGES):
        data = encoded(Image.new("RGB", (64 + index, 48), (9 * index, 99, 9)))
        filesystem.pipe_file(f"{BUCKET}/in/{index:03d}.png", data if index else b"no image")
    yield BUCKET
    connect(upstream)
    locations.s3().rm(BUCKET, recursive=True)


def annotated(output: str) -> Storage:
    """Every stage in this process, from the listing to the commits."""
    storage, source = Storage(output), NullSource()
    assert read_record(storage) is None
    write_record(storage, new_record(set_up(CONFIG, source)))
    images = listed(f"s3://{BUCKET}/in")
    add_shards(storage, images, 5)
    detect = DetectAndCrop(CONFIG, source.crop_size)
    annotate = AnnotateFaces(CONFIG, source.load("cpu"), "print")
    for task in tasks_of(storage):
        commit_shard(storage, annotate(detect(task)), "print")
    return storage


def table(storage: Storage, name: str) -> pandas.DataFrame:
    parts = [pandas.read_parquet(io.BytesIO(storage.read(key))) for key in storage.keys(name)]
    return pandas.concat(parts, ignore_index=True)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_passes_ends_as_if_nothing_had_been(
    seed: int, bucket: str, upstream: str, connect: Connect
) -> None:
    calm = annotated(f"s3://{bucket}/calm")
    faults = Faults(seed, slow_down=0.15, drop=0.1, lose=0.1, truncate=0.1, slow=0.12)
    with FaultyStore(upstream, faults) as store:
        connect(store.endpoint)
        stormy = annotated(f"s3://{bucket}/stormy")
        verdict = verify(stormy, "print")
        assert min(store.given[kind] for kind in KINDS) > 0, store.given
    connect(upstream)
    assert verdict.problems == []
    for name in ("images", "faces"):
        pandas.testing.assert_frame_equal(table(calm, name), table(stormy, name))
    assert len(table(stormy, "images")) == IMAGES
    assert [key.replace("calm", "stormy") for key in calm.keys()] == stormy.keys()


@pytest.mark.parametrize("size", [10, 101 * 2**20])
def test_a_dropped_upload_is_sent_again_whole(
    size: int, bucket: str, upstream: str, connect: Connect
) -> None:
    """The large one travels in parts."""
    data = (b"%07d " % size) * (size // 8 + 1)
    with FaultyStore(upstream, Faults(drop=1, times=1)) as store:
        connect(store.endpoint)
        Storage(f"s3://{bucket}").write("large", data)
        assert store.given["drop"] >= (3 if size > 2**20 else 1)
    connect(upstream)
    assert Storage(f"s3://{bucket}").read("large") == data
    uploads = locations.s3().call_s3("list_multipart_uploads", Bucket=bucket)
    assert "Uploads" not in uploads


def test_an_image_costs_one_request(bucket: str, upstream: str, connect: Connect) -> None:
    images = tuple(listed(f"s3://{bucket}/in"))
    with FaultyStore(upstream, Faults()) as store:
        connect(store.endpoint)
        DetectAndCrop(CONFIG, 112)(ShardTask("s", images))
    assert store.requests == IMAGES


def fetches_of(name: str, *answer: int | str) -> Faults:
    return Faults(refuse=lambda method, path: answer if name in path and method == "GET" else None)  # type: ignore[return-value,arg-type]


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(truncate=1, times=10**6), "ClientPayloadError|Response payload is not completed"),
        (
            fetches_of("001.png", 503, "SlowDown", "Please reduce your request rate."),
            "reduce your request rate",
        ),
        (fetches_of("001.png", 403, "AccessDenied", "Access Denied"), "^Access Denied$"),
        (fetches_of("001.png", 500, "InternalError", "We encountered an internal error."), "internal error"),
        (Faults(drop=1, times=10**6), "closed|reset|disconnected|connect"),
    ],
    ids=["truncated", "throttled", "denied", "broken", "dropped"],
)
def test_what_does_not_pass_is_the_reason_of_the_image(
    faults: Faults, reason: str, bucket: str, upstream: str, connect: Connect
) -> None:
    images = listed(f"s3://{bucket}/in")[1:3]
    with FaultyStore(upstream, faults) as store:
        connect(store.endpoint)
        shard = DetectAndCrop(CONFIG, 112)(ShardTask("s", tuple(images)))
    failed = [record for record in shard.images if record.status == "failed"]
    assert len(shard.images) == 2
    assert len(failed) == (1 if faults.times == 2 else 2)
    for record in failed:
        assert record.stage == "fetch"
        assert pandas.Series([record.reason]).str.contains(reason).all(), record.reason
        assert "\n" not in str(record.reason)


REFUSALS = {
    "denied": (403, "AccessDenied", "Access Denied"),
    "full": (507, "InsufficientStorage", "The store is full."),
    "quota": (403, "QuotaExceeded", "You have reached your quota."),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_commit_is_one_line_and_harms_nothing(
    name: str, bucket: str, upstream: str, connect: Connect
) -> None:
    storage = annotated(f"s3://{bucket}/out")
    before = {key: storage.read(key) for key in storage.keys()}
    refuse = Faults(refuse=lambda method, path: REFUSALS[name] if method in ("PUT", "POST") else None)
    task = ShardTask("0001-000000", tuple(listed(f"s3://{bucket}/in")[:4]))
    shard = AnnotateFaces(CONFIG, NullSource().load("cpu"), "print")(DetectAndCrop(CONFIG, 112)(task))
    with FaultyStore(upstream, refuse) as store:
        connect(store.endpoint)
        worker = Worker([Step("commit", lambda: lambda it: commit_shard(storage, it, "print"))])
        error = worker.run("s", shard).error
        with pytest.raises(OSError, match=REFUSALS[name][2]) as refused:
            write_record(storage, {})
        assert is_refusal(refused.value)
    assert error.startswith("commit: ")
    assert REFUSALS[name][2].rstrip(".") in error
    assert "\n" not in error
    connect(upstream)
    assert {key: storage.read(key) for key in storage.keys()} == before


def test_a_store_that_is_busy_has_not_refused(bucket: str, upstream: str, connect: Connect) -> None:
    busy = (503, "SlowDown", "Please reduce your request rate.")
    with FaultyStore(upstream, Faults(refuse=lambda method, path: busy)) as store:
        connect(store.endpoint)
        with pytest.raises(OSError, match="reduce your request rate") as error:
            Storage(f"s3://{bucket}").write("x", b"x")
    assert not is_refusal(error.value)


def test_a_bucket_that_is_not_there_has_refused(bucket: str) -> None:
    with pytest.raises(OSError, match="does not exist") as error:
        Storage("s3://no-such-bucket-here").write("x", b"x")
    assert is_refusal(error.value)


def test_a_lock_whose_answer_was_lost_is_held_all_the_same(
    bucket: str, upstream: str, connect: Connect
) -> None:
    """The second try of the same request finds what the first one made."""
    storage = Storage(f"s3://{bucket}/out")
    with FaultyStore(upstream, Faults(lose=1, times=1)) as store:
        connect(store.endpoint)
        with run_lock(storage):
            assert storage.exists(LOCK)
            with pytest.raises(UsageError, match="is in use by"), run_lock(storage):
                pass
        assert store.given["lose"] > 0
    connect(upstream)
    assert not storage.exists(LOCK)


def test_a_store_that_does_not_know_the_key_does_not_make_us_say_it(
    bucket: str, upstream: str, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real stores repeat the access key in their answer; our line has their message alone."""
    message = "The AWS Access Key Id you provided does not exist in our records."
    with FaultyStore(
        upstream, Faults(refuse=lambda method, path: (403, "InvalidAccessKeyId", message))
    ) as store:
        connect(store.endpoint)
        with pytest.raises(UsageError) as reading:
            listed(f"s3://{bucket}/in")
        assert main(["annotate", f"s3://{bucket}/in", f"s3://{bucket}/new"]) == 2
        with pytest.raises(OSError, match="does not exist in our records") as fetching:
            read_uri(f"s3://{bucket}/in/001.png", 10**6, 1000)
    said = capsys.readouterr()
    assert "facegpt: cannot reach OUTPUT" in said.err and said.err.count("\n") == 1
    texts = [("list", str(reading.value)), ("fetch", repr(fetching.value)), ("cli", said.err + said.out)]
    assert leaks((name, text.encode()) for name, text in texts) == []
    assert leaks([("control", SECRET_KEY.encode())]) == ["control"]


def test_retries_are_set_and_the_environment_may_set_others(
    upstream: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(upstream)
    config = locations.s3().s3._client_config
    assert config.retries == {"mode": "legacy", "total_max_attempts": locations.ATTEMPTS}
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    connect(upstream)
    assert locations.s3().s3._client_config.retries["total_max_attempts"] == 2


def test_the_faults_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def kinds(seed: int) -> list[str]:
        faults = Faults(seed, slow_down=0.2, drop=0.2)
        return [faults.kind("GET", f"/{index}", 0) for index in range(50)]

    assert kinds(1) == kinds(1) != kinds(2)
    assert set(kinds(1)) == {"", "slow_down", "drop"}
    assert Faults(slow_down=1, times=2).kind("GET", "/", 2) == ""
