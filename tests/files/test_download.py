"""Downloads from a server that breaks in every way a real one does."""

from __future__ import annotations

import builtins
import errno
import gzip
import hashlib
import json
import subprocess
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from lcplm_graph.data import main as data_command
from lcplm_graph.errors import ChecksumError, ConfigError, DataError, DownloadError, LcPlmWarning
from lcplm_graph.files import transport
from lcplm_graph.files.download import cache_root, check_file, data_root, fetch, is_offline
from lcplm_graph.io import forget_warnings

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(server, **options):
    return fetch(server.url + "/file.bin", name="file.bin", subdir="set/1/raw", **options)


@pytest.fixture
def served(server, data_dir):
    server.put("file.bin", CONTENT)
    return server


def test_a_file_arrives_whole_and_is_fetched_once(served, data_dir):
    path = get(served, sha256=SHA256, bytes=len(CONTENT))
    assert path == data_dir / "set/1/raw/file.bin"
    assert path.read_bytes() == CONTENT
    assert get(served, sha256=SHA256) == path
    assert len(served.requests) == 1
    left = {p.name for p in path.parent.iterdir()} - {".file.bin.lock"}
    assert left == {"file.bin", "file.bin.json"}


def test_an_unknown_checksum_is_pinned_at_the_first_download(served):
    path = get(served)
    record = json.loads(path.with_name("file.bin.json").read_text())
    state = record.pop("state")
    assert record == {"url": served.url + "/file.bin", "sha256": SHA256, "bytes": len(CONTENT)}
    assert state[0] == len(CONTENT)
    for changed in (b"changed", CONTENT[::-1]):
        path.write_bytes(changed)
        with pytest.raises(ChecksumError, match=r"file\.bin\.bad"):
            get(served)
        assert path.with_name("file.bin.bad").read_bytes() == changed
        assert get(served).read_bytes() == CONTENT


def test_a_broken_connection_is_resumed_where_it_broke(served):
    served.cut = [300_000, 200_000]
    assert get(served, sha256=SHA256).read_bytes() == CONTENT
    ranges = [asked for _, asked in served.requests]
    assert ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_run_resumes_what_an_earlier_one_left(served, data_dir, monkeypatch):
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    served.cut = [400_000]
    with pytest.raises(DownloadError, match=r"400000 bytes.*which resumes"):
        get(served)
    assert (data_dir / "set/1/raw/file.bin.part").stat().st_size == 400_000
    assert not (data_dir / "set/1/raw/file.bin").exists()
    assert get(served).read_bytes() == CONTENT
    assert served.requests[-1][1] == "bytes=400000-"


def test_a_file_that_changed_meanwhile_is_not_patched_together(served, monkeypatch):
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    served.cut = [400_000]
    with pytest.raises(DownloadError):
        get(served)
    served.etag = '"two"'
    served.put("file.bin", CONTENT[::-1])
    assert get(served).read_bytes() == CONTENT[::-1]


def test_without_a_validator_only_a_checksummed_file_is_resumed(served, monkeypatch):
    served.etag = ""
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    served.cut = [400_000]
    with pytest.raises(DownloadError):
        get(served)
    assert get(served).read_bytes() == CONTENT
    assert served.requests[-1][1] is None


def test_a_complete_partial_file_needs_no_more_bytes(served, data_dir):
    folder = data_dir / "set/1/raw"
    folder.mkdir(parents=True)
    (folder / "file.bin.part").write_bytes(CONTENT)
    assert get(served, sha256=SHA256).read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_source_starts_anew(served, data_dir):
    folder = data_dir / "set/1/raw"
    folder.mkdir(parents=True)
    (folder / "file.bin.part").write_bytes(CONTENT + b"more")
    assert get(served, sha256=SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_faults_are_tried_again(served, status):
    served.fail = [status, status]
    assert get(served, sha256=SHA256).read_bytes() == CONTENT
    assert len(served.requests) == 3


def test_retries_wait_longer_each_time(served, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(transport, "BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(transport.time, "sleep", waits.append)
    served.fail = [500] * 9
    with pytest.raises(DownloadError, match="after 5 attempts"):
        get(served)
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize("status", [404, 403, 410])
def test_final_answers_are_not_repeated(served, status):
    served.fail = [status]
    with pytest.raises(
        DownloadError,
        match=rf"^cannot fetch \S+: .*answered {status}.*by hand and put it at .*raw/file",
    ):
        get(served, alternative="string_human_core")
    assert len(served.requests) == 1


def test_no_network(data_dir, monkeypatch):
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    with pytest.raises(DownloadError, match=r"check the network.*'string_human_core'") as caught:
        fetch("http://127.0.0.1:9/x", name="x", alternative="string_human_core")
    assert str(data_dir / "x") in str(caught.value)


def test_wrong_checksum_keeps_the_file_aside(served):
    with pytest.raises(ChecksumError, match=r"0{64} expected") as caught:
        get(served, sha256="0" * 64)
    folder = data_root() / "set/1/raw"
    assert (folder / "file.bin.bad").read_bytes() == CONTENT
    assert not (folder / "file.bin").exists()
    assert not (folder / "file.bin.part").exists()
    assert str(folder / "file.bin.bad") in str(caught.value)


def test_wrong_size_is_a_wrong_file(served):
    with pytest.raises(ChecksumError, match="1024000 bytes, 7 expected"):
        get(served, bytes=7)


def test_a_web_page_is_no_data(served):
    served.put("file.bin", b"\n<!DOCTYPE html><html><body>Please log in</body></html>")
    with pytest.raises(DownloadError, match="web page"):
        get(served)
    assert not (data_root() / "set/1/raw/file.bin").exists()


def test_disk_full(served, monkeypatch):
    real_open = builtins.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_full(path, mode="r", *args, **kwargs):
        file = real_open(path, mode, *args, **kwargs)
        return (
            Full(file) if str(path).endswith(".part") and "b" in mode and "r" not in mode else file
        )

    monkeypatch.setattr(builtins, "open", open_full)
    with pytest.raises(DownloadError, match=r"disk is full.*1024000 bytes.*LCPLM_DATA"):
        get(served, bytes=len(CONTENT))
    monkeypatch.undo()


def test_a_root_that_cannot_be_written(served, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match=r"cannot write .*by hand"):
        get(served)


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_offline_by_environment(served, monkeypatch, value):
    monkeypatch.setenv("LCPLM_OFFLINE", value)
    with pytest.raises(DownloadError, match="offline mode is on"):
        get(served)
    assert served.requests == []
    assert not is_offline(False)


def test_a_file_put_there_by_hand_is_checked_once_and_used_offline(served, data_dir):
    path = data_dir / "set/1/raw/file.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert get(served, sha256=SHA256, offline=True) == path
    assert path.with_name("file.bin.json").is_file()
    path.with_name("file.bin.json").unlink()
    path.write_bytes(b"wrong")
    with pytest.raises(ChecksumError, match="kept as"):
        get(served, sha256=SHA256, offline=True)


def test_an_unreadable_record_is_named(served):
    path = get(served)
    path.with_name("file.bin.json").write_text("{half")
    with pytest.raises(DataError, match=r"file\.bin\.json: unreadable"):
        get(served)
    path.with_name("file.bin.json").write_text("[]")
    with pytest.raises(DataError, match="not a download record"):
        get(served)


def test_check_file_returns_the_hash(tmp_path: Path):
    (tmp_path / "a").write_bytes(CONTENT)
    assert check_file(tmp_path / "a", None, None) == SHA256


def test_two_processes_share_one_download(served, data_dir):
    served.slow = 0.5
    code = (
        "import sys; from lcplm_graph.files.download import fetch;"
        "print(fetch(sys.argv[1], name='file.bin', subdir='two', root=sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, served.url + "/file.bin", str(data_dir)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {process.communicate(timeout=60)[0].strip() for process in both}
    assert outputs == {str(data_dir / "two/file.bin")}
    assert (data_dir / "two/file.bin").read_bytes() == CONTENT
    assert len(served.requests) == 1


BODY = b"x" * 1000
ODD = {
    "empty": (200, b"", {}),
    "204": (204, b"", {}),
    "300": (300, b"many choices", {}),
    "302 without target": (302, b"moved", {}),
    "206 unasked": (206, BODY, {"Content-Range": "bytes 0-999/2000"}),
    "206 unasked, of all": (206, BODY, {"Content-Range": "bytes 0-999/1000"}),
    "error in XML": (200, b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', {}),
    "page after a mark": (200, b"\xef\xbb\xbf<!DOCTYPE html><html>login</html>", {}),
    "page after a comment": (200, b"<!-- x --><html>login</html>", {}),
    "page in UTF-16": (200, "<!DOCTYPE html><html>".encode("utf-16"), {}),
    "errors in JSON": (200, b'[{"error": "quota exceeded"}]', {}),
    "blank": (200, b" \n\n", {}),
    "pointer": (200, b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", {}),
    "packed on its way": (200, zlib.compress(BODY), {"Content-Encoding": "deflate"}),
    "packed page": (200, gzip.compress(b"<html>login</html>"), {}),
    "packed nothing": (200, gzip.compress(b""), {}),
    "error in JSON": (200, b'{"error": "quota exceeded"}', {}),
    "length that is not a number": (200, BODY, {"Content-Length": "abc"}),
    "negative length": (200, BODY, {"Content-Length": "-5"}),
    "a body cut off": (200, BODY, {"Content-Length": "2000"}),
}


@pytest.fixture
def odd(data_dir, monkeypatch):
    """Return a function that serves one answer after the other and fetches."""
    monkeypatch.setattr(transport, "BACKOFF_SECONDS", 0.0)

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Say nothing of clients that hang up."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        answers: ClassVar[list] = []

        def do_GET(self):
            answers = type(self).answers
            status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(body))} | headers).items():
                if value is not None:
                    self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_):
            pass

    http = Server(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_odd(answers, name="file.txt", **options):
        Handler.answers = list(answers)
        return fetch(f"http://127.0.0.1:{http.server_port}/{name}", name=name, **options)

    yield get_odd
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD.keys())
def test_what_is_no_file_is_never_pinned(odd, data_dir, answer):
    with pytest.raises(DownloadError):
        odd([answer])
    assert not (data_dir / "file.txt").exists()
    assert not (data_dir / "file.txt.json").exists()
    assert odd([(200, BODY, {})]).read_bytes() == BODY


RESUMED = {
    "another etag": {"ETag": '"two"', "Content-Range": "bytes 1000-1999/2000"},
    "another size": {"ETag": '"one"', "Content-Range": "bytes 1000-1999/3000"},
    "another place": {"ETag": '"one"', "Content-Range": "bytes 0-999/2000"},
    "no etag": {"Content-Range": "bytes 1000-1999/2000"},
    "no range": {"ETag": '"one"'},
    "a range that is not as long": {"ETag": '"one"', "Content-Range": "bytes 1000-1499/2000"},
}


@pytest.mark.parametrize("headers", RESUMED.values(), ids=RESUMED.keys())
def test_halves_of_two_files_are_never_joined(odd, headers):
    cut = (200, b"A" * 1000, {"Content-Length": "2000", "ETag": '"one"'})
    whole = (200, b"B" * 2000, {"ETag": '"two"'})
    path = odd([cut, (206, b"B" * 1000, headers), whole])
    assert path.read_bytes() == b"B" * 2000


def test_a_part_of_a_part_is_continued(odd):
    def part(start, stop):
        where = {"ETag": '"one"', "Content-Range": f"bytes {start}-{stop - 1}/2000"}
        return (206, bytes(stop - start), where)

    cut = (200, bytes(1000), {"Content-Length": "2000", "ETag": '"one"'})
    assert odd([cut, part(1000, 1500), part(1500, 2000)]).read_bytes() == bytes(2000)


def test_archives_are_what_their_names_promise(odd):
    # Servers say of an archive that it is packed, and mean the file.
    said = {"Content-Encoding": "x-gzip"}
    packed = gzip.compress(BODY)
    assert odd([(200, packed, said)], name="said.txt.gz").read_bytes() == packed
    with pytest.raises(DownloadError, match="no gzip file, which its name promises"):
        odd([(200, b"rate limit exceeded", {})], name="file.txt.gz")
    unannounced = {"Content-Length": None}
    with pytest.raises(DownloadError, match="cut off or damaged"):
        odd([(200, packed[:-5], unannounced)], name="file.txt.gz")
    assert odd([(200, packed, unannounced)], name="file.txt.gz").read_bytes() == packed
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="did not say how long"):
        assert odd([(200, BODY, unannounced)]).read_bytes() == BODY


def test_data_in_json_is_data(odd):
    with pytest.raises(DownloadError, match="an error message in JSON"):
        odd([(200, b'{"message": "not found"}', {})], name="a.json")
    assert odd([(200, b'{"P12345": [1]}', {})], name="a.json").is_file()


def test_secrets_of_a_url_stay_secret(odd, data_dir):
    url = "http://me:hunter2@127.0.0.1:9/x?token=s3cret"
    with pytest.raises(DownloadError) as caught:
        fetch(url, name="x")
    with pytest.raises(DownloadError) as offline:
        fetch(url, name="x", offline=True)
    with pytest.raises(DownloadError) as strange:
        fetch("http://me:hunter2@[::x/?token=s3cret", name="x")
    for text in map(str, (caught.value, offline.value, strange.value)):
        assert "hunter2" not in text
        assert "s3cret" not in text


def test_secrets_of_redirections_and_proxies_stay_secret(odd, monkeypatch):
    there = "http://me:hunter2@127.0.0.1:9/x?sig=s3cret"
    told = []
    for target in (there, there.replace("http", "gopher"), "http://me:hunter2@[::/?sig=s3cret"):
        with pytest.raises(DownloadError) as caught:
            odd([(302, b"", {"Location": target})])
        told.append(str(caught.value))
    for proxy in (
        "http://me:hunter2@127.0.0.1:9",
        "http://me:hunter2@[::",
        "http://me:hunter2@h:p",
    ):
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(DownloadError) as caught:
            fetch("http://a:b@example.org/b/b.txt", name="b.txt")
        told.append(str(caught.value))
        assert "http://example.org/b/b.txt" in told[-1]
    assert not any(secret in text for text in told for secret in ("hunter2", "s3cret"))


def test_a_server_that_drips_is_given_up(odd, monkeypatch):
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    monkeypatch.setattr(transport, "SLOW_SECONDS", -1.0)
    with pytest.raises(DownloadError, match=r"after 2 attempts \(only 1000 bytes came"):
        odd([(200, BODY, {})])
    monkeypatch.setattr(transport, "DEADLINE_SECONDS", -1.0)
    with pytest.raises(DownloadError, match=r"after 1 attempts \(it took longer than"):
        odd([(200, BODY, {})])


def test_rubbish_put_there_by_hand_or_pinned_before_is_refused(odd, data_dir):
    data_dir.mkdir(exist_ok=True)
    (data_dir / "file.txt").write_bytes(b"<html>login")
    with pytest.raises(DownloadError, match=r"a web page.*file\.txt\.bad"):
        odd([(200, BODY, {})])
    (data_dir / "file.txt").touch()
    (data_dir / "file.txt.json").write_text(json.dumps({"sha256": "0" * 64, "bytes": 0}))
    with pytest.raises(DownloadError, match="an empty file"):
        odd([(200, BODY, {})])
    assert odd([(200, BODY, {})]).read_bytes() == BODY


def test_what_can_be_made_again_needs_no_folder_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "file" / "data"))
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="set LCPLM_DATA to a folder"):
        root = cache_root()
    assert root.is_dir()
    assert cache_root() == root
    assert cache_root(tmp_path / "mine") == tmp_path / "mine"
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "data"))
    assert cache_root() == tmp_path / "data"


def test_a_home_that_is_not_known_is_one_sentence(monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", "~nobody-of-this-name/data")
    with pytest.raises(ConfigError, match=r"know the home of ~nobody.*; set LCPLM_DATA"):
        data_root()
    # What lists and explains needs no folder.
    assert data_command(["list"]) == 0
    monkeypatch.delenv("LCPLM_DATA")

    def unknown(*_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_cache_dir", unknown)
    with pytest.raises(ConfigError, match="know your home; set LCPLM_DATA"):
        data_root()
