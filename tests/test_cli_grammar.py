"""The grammar of the command: spellings, values, refusals, and what is loaded for them. No server, no native module."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from s3z._cli import _help
from s3z._cli._failures import RefusedError
from s3z._cli._match import Excluder, matches, split_wildcard
from s3z._cli._names import Remote, download_path, understand, upload_key
from s3z._cli._options import COMMANDS, GLOBAL, UsageError
from s3z._cli._parser import normalise, parse
from s3z._cli._printer import json_line, quoted
from s3z._line import line_text, plain_text
from s3z._units import human_seconds, human_size, parse_count, parse_duration, parse_size
from s3z._version import __version__

MIB = 1 << 20


def cp(*tokens: str):
    return parse(["cp", *tokens, "a", "s3://b/k"]).options


@pytest.mark.parametrize(
    "tokens",
    [
        ["--part-size", "5"],
        ["--part-size=5"],
        ["-p", "5"],
        ["-p=5"],
        ["-p5"],
        ["-part-size", "5M"],
        ["-part-size=5MiB"],
        ["--chunk-size", "5120KB"],
        ["-chunk-size=5"],
    ],
)
def test_one_option_has_many_spellings(tokens):
    assert cp(*tokens).part_size == 5 * MIB


def test_global_options_stand_on_either_side():
    before = parse(["--json", "-r", "3", "cp", "a", "s3://b"])
    after = parse(["cp", "a", "--json", "s3://b", "-r=3"])
    for parsed in (before, after):
        assert parsed.options.json is True
        assert parsed.options.retry_count == 3
        assert parsed.arguments == ["a", "s3://b"]


def test_the_last_one_counts_across_the_command():
    assert parse(["-r", "1", "ls", "-r", "2"]).options.retry_count == 2
    assert cp("--part-size=6", "--chunk-size=7").part_size == 7 * MIB
    assert cp("--no-verify", "--verify=require").verify == "require"
    assert cp("--verify=require", "--no-verify").verify == "off"
    assert parse(["ls", "--show-progress", "--no-progress"]).options.show_progress == "never"


def test_repeated_options_add_up():
    assert cp("--metadata", "a=1", "--metadata=b=2=3").metadata == [("a", "1"), ("b", "2=3")]
    assert parse(["ls", "--exclude", "a", "-exclude=b"]).options.exclude == ["a", "b"]


@pytest.mark.parametrize(("token", "value"), [("--json", True), ("--json=true", True), ("-json=false", False)])
def test_switches_take_true_and_false(token, value):
    assert parse([token, "ls"]).options.json is value


def test_a_switch_takes_its_value_only_after_an_equals_sign():
    assert parse(["ls", "--json", "true"]).arguments == ["true"]
    with pytest.raises(UsageError, match="is a switch: true or false"):
        parse(["--json=1", "ls"])


def test_whole_long_names_go_before_letters():
    parsed = parse(["ls", "-sp"])
    assert parsed.options.show_progress == "always"
    assert parsed.options.storage_class is None
    assert parse(["ls", "-s"]).options.storage_class is True
    with pytest.raises(UsageError, match='"-se"'):
        parse(["ls", "-se"])


def test_show_progress_takes_a_value_only_with_an_equals_sign():
    parsed = parse(["ls", "--show-progress", "never"])
    assert (parsed.options.show_progress, parsed.arguments) == ("always", ["never"])
    assert parse(["ls", "-sp=never"]).options.show_progress == "never"


def test_the_same_letter_means_what_the_command_says():
    assert parse(["ls", "-s"]).options.storage_class is True
    assert cp("-s").if_size_differ is True


@pytest.mark.parametrize("token", ["--part", "--no-verif", "--jso", "--p", "--p=5", "-x", "--", "---json"])
def test_names_are_never_abbreviated(token):
    if token == "--":
        assert parse(["cp", "--", "-a", "--b"]).arguments == ["-a", "--b"]
    else:
        with pytest.raises(UsageError, match="unknown option"):
            cp(token)


def test_no_verify_is_not_no_verify_ssl():
    options = cp("--no-verify")
    assert options.verify == "off"
    assert options.no_verify_ssl is None


def test_values_may_look_like_options():
    assert cp("--content-type", "-x").content_type == "-x"
    assert cp("--metadata=-a=--b").metadata == [("-a", "--b")]


def test_a_lone_dash_is_an_argument():
    assert parse(["cp", "-", "s3://b/k"]).arguments == ["-", "s3://b/k"]


@pytest.mark.parametrize(
    ("tokens", "command", "message"),
    [
        (["foo"], "foo", "command not found"),
        (["select"], "select", "command not found"),
        (["--foo", "cp"], "s3z", 'unknown option "--foo"'),
        (["cp", "--foo=secret", "a", "b"], "cp", 'unknown option "--foo"'),
        (["cp", "a"], "cp", "expected 2 arguments, got 1"),
        (["cp", "a", "b", "c"], "cp", "expected 2 arguments, got 3"),
        (["ls", "a", "b"], "ls", "expected at most 1 argument, got 2"),
        (["cp", "a", "b", "-p"], "cp", 'option "--part-size" needs a value'),
        (["cp", "-p", "0", "a", "b"], "cp", "out of range"),
        (["cp", "-p", "6G", "a", "b"], "cp", "out of range"),
        (["cp", "-c", "0", "a", "b"], "cp", '"0" is not a whole number of at least 1'),
        (["cp", "--expires", "tomorrow", "a", "b"], "cp", "RFC 3339"),
        (["cp", "--expires", "2026-05-01", "a", "b"], "cp", "RFC 3339"),
        (["cp", "--metadata", "a", "a", "b"], "cp", "K=V"),
        (["cp", "--sse", "aes256", "a", "b"], "cp", "none of AES256"),
        (["--endpoint-url", "host:9000", "ls"], "ls", "http:// or https://"),
        (["--connect-timeout", "0", "ls"], "ls", "more than 0"),
        (["--memory-limit", "1M", "ls"], "ls", "at least 8M"),
        (["--log", "loud", "ls"], "ls", "none of trace"),
        (["--bwlimit", "10Mb/s", "ls"], "ls", "may mean bits"),
        (["--request-payer", "owner", "ls"], "ls", "none of requester"),
        (["--install-completion=tcsh"], "s3z", "none of bash, zsh, fish"),
        (["--no-sign-request", "--profile=x", "ls"], "ls", 'options "--no-sign-request" and "--profile" exclude'),
        (["--no-sign-request", "ls", "--credentials-file=x"], "ls", "exclude each other"),
    ],
)
def test_what_cannot_be_parsed_is_a_usage_error(tokens, command, message):
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        parse(tokens)
    assert caught.value.command == command


def test_switched_off_options_do_not_exclude():
    assert parse(["--no-sign-request=false", "--profile=x", "ls"]).options.profile == "x"


def test_the_label_names_own_options_and_arguments():
    assert (
        parse(["--json", "cp", "-p5", "--no-verify", "a", "s3://b"]).label == "cp --part-size=5 --verify=off a s3://b"
    )


def test_normalise_is_canonical():
    found = normalise(["-c", "4", "x", "--no-overwrite"], COMMANDS["cp"][0], "cp")
    assert found == ([("concurrency", "4"), ("no-clobber", "true")], ["x"], [])


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_teaches(command):
    text = _help.text(command)
    assert len(re.findall(r"^  s3z ", text, re.MULTILINE)) >= 3
    for option in (*COMMANDS[command][0], *GLOBAL) if command else GLOBAL:
        assert (f"--{option.name} " in f"{text} ".replace("\n", " ").replace("[", " ")) is not option.hidden
    assert max(map(len, text.splitlines())) <= 110


# units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("7", 7),
        ("1K", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("1.5M", 1572864),
        ("2 G", 2 << 30),
        ("1T", 1 << 40),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "1X", "1..2", "-1", "1e3", "1KK", "٣", "99999999999T", "1.B.", "0x10"])
def test_no_sizes(text):
    with pytest.raises(ValueError, match=r"size|large"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("3h", 10800), ("1h30m", 5400), ("7d", 604800), ("0.5", 0.5)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1x", "-1", "1h30", "inf", "nan", "1 2", "1.2.3"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_counts():
    assert parse_count("12") == 12
    for text in ("0", "-1", "1.0", "²", "", "1" * 30):
        with pytest.raises(ValueError, match="whole number"):
            parse_count(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (1023, "1023"), (1024, "1024"), (1025, "1.0K"), (32296140, "30.8M")]
)
def test_human_sizes(size, text):
    assert human_size(size) == text


def test_progress_lines():
    text = line_text(1 << 30, 4 << 30, 37, 1200, 1 << 29)
    assert text == "1024.0M/4.0G 25%  37/1200 objects  512.0M/s  ETA 0:06"
    assert line_text(0, None, 0, None, 0.0) == "0  0 objects  0/s"
    assert "ETA" not in line_text(1, 10, 0, 5, 1.0, listing=True)
    assert plain_text(5, 10, 1, 2, 3.0) == "PROGRESS 5/10 1/2 objects 3/s"
    assert human_seconds(3723) == "1:02:03"


# names


@pytest.mark.parametrize(
    ("argument", "key"), [("s3://b", ""), ("s3://b/", ""), ("s3://b//x", "/x"), ("s3://b/a?b#c%20+", "a?b#c%20+")]
)
def test_remote_names_stay_as_typed(argument, key):
    remote = understand(argument)
    assert isinstance(remote, Remote)
    assert (remote.bucket, remote.key) == ("b", key)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("s3://", "s3 url should have a bucket"),
        ("s3:///k", "s3 url should have a bucket"),
        ("s3://b*/k", "bucket name cannot contain wildcards"),
        ("s3://b@d/k", "invalid s3 bucket"),
        ("http://h/k", '"http://" is not a scheme'),
        ("s3://b/\udcff", "UTF-8"),
        ("", "is not a path"),
    ],
)
def test_bad_names_are_refused(argument, message):
    with pytest.raises(RefusedError, match=re.escape(message)):
        understand(argument)


def test_a_lone_dash_is_no_name_of_a_file():
    with pytest.raises(RefusedError, match="standard input or output") as caught:
        understand("-")
    assert caught.value.hint == 'a file of that name is "./-"'
    assert understand("./-") == "./-"


def test_local_names():
    for name in ("a", "./-", "dir/x://y", "/s3:/b"):
        assert understand(name) == name


def test_upload_keys():
    assert upload_key("dir/a.txt", Remote("b", "")) == "a.txt"
    assert upload_key("dir/a.txt", Remote("b", "q/")) == "q/a.txt"
    assert upload_key("dir/a.txt", Remote("b", "q")) == "q"
    with pytest.raises(RefusedError, match="UTF-8"):
        upload_key("dir/\udcff", Remote("b", ""))


def test_download_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    source = Remote("b", "p/a.txt")
    expected = {".": "a.txt", "out/": "out/a.txt", "out/x": "out/x", "there": "there/a.txt", "..": "../a.txt"}
    assert {given: download_path(source, given) for given in expected} == expected


@pytest.mark.parametrize("key", ["p/..", "p/.", "a/" + "x" * 256, "a/b\0c"])
def test_unsafe_base_names_are_refused(key):
    with pytest.raises(ValueError, match="cannot be a file name"):
        download_path(Remote("b", key), "out/")


# wildcards


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("?", "", False),
        ("?", "/", True),
        ("a*c", "abc", True),
        ("a*c", "ac", True),
        ("a*c", "a", False),
        ("aba", "aba", True),
        ("ab*ba", "aba", False),
        ("a*b?c*d", "aXbYcZd", True),
        ("*.txt", "x.txt.gz", False),
        ("[a]", "a", False),
        ("[a]", "[a]", True),
        ("\\*", "\\x", True),
        ("{a,b}", "a", False),
        ("a?*?d", "abcd", True),
        ("a?*?d", "abd", False),
    ],
)
def test_wildcards(pattern, name, expected):
    assert matches(pattern, name) is expected


def test_wildcards_against_a_plain_recursion():
    def slow(pattern, name):
        if not pattern:
            return not name
        if pattern[0] == "*":
            return slow(pattern[1:], name) or bool(name and slow(pattern, name[1:]))
        return bool(name) and pattern[0] in ("?", name[0]) and slow(pattern[1:], name[1:])

    words = [""]
    for _ in range(4):
        words += [word + letter for word in words if len(word) == len(words[-1]) for letter in "ab"]
    patterns = [""]
    for _ in range(4):
        patterns += [word + letter for word in patterns if len(word) == len(patterns[-1]) for letter in "a*?"]
    for pattern in set(patterns):
        for word in set(words):
            assert matches(pattern, word) == slow(pattern, word), (pattern, word)


def test_prefix_before_a_wildcard():
    assert split_wildcard("p*") == ("p", "")
    assert split_wildcard("a/b/c?d*") == ("a/b/c", "a/b/")
    assert split_wildcard("a/b") == ("a/b", "a/")


def test_excluded_names_are_matched_below_the_source_prefix():
    excluder = Excluder(["abc.*", ""], "abc")
    assert excluder.excludes("abc.pdf")
    assert not excluder.excludes("abc/x")
    assert Excluder(["x"], "abc").excludes("abc/x")
    assert not Excluder([""], "").excludes("")


# words


def test_labels_are_quoted_on_one_line():
    assert quoted('a "b" \\ c\nd\x1b') == '"a \\"b\\" \\\\ c d\\x1b"'


def test_json_keeps_what_is_not_utf8():
    record = json.loads(json_line({"source": "a\udcff", "none": None, "n": {"x": "ü", "y": None}}, ascii_only=False))
    assert record == {"source": "a\ufffd", "source_base64": "Yf8=", "n": {"x": "ü"}}


# the command itself


_PROBE = """
import sys
before = set(sys.modules)
from s3z.__main__ import main
sys.argv = ["s3z", *sys.argv[1:]]
status = main()
outside = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - {"s3z"}
print(status, sorted(outside), "s3z._core" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("tokens", "status"),
    [
        (["--version"], 0),
        (["--help"], 0),
        ([], 0),
        (["cp", "--help"], 0),
        (["ls", "-h"], 0),
        (["foo"], 2),
        (["cp", "--foo"], 2),
        (["cp", "-p", "x", "a", "b"], 2),
        (["cp", "a"], 2),
    ],
)
def test_help_and_usage_errors_load_next_to_nothing(tokens, status):
    done = subprocess.run([sys.executable, "-c", _PROBE, *tokens], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == f"{status} [] False"
    assert bool(done.stdout) is (status == 0)


def test_import_loads_neither_the_native_module_nor_boto3():
    probe = "import sys, s3z; print([m for m in sys.modules if m.startswith(('boto', 's3z._'))])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['s3z._version']"


def run(*tokens: str, **options):
    return subprocess.run([sys.executable, "-m", "s3z", *tokens], capture_output=True, text=True, **options)


def test_version_is_that_of_the_workspace():
    manifest = (Path(__file__).parent.parent / "Cargo.toml").read_text()
    assert f'version = "{__version__}"' in manifest.partition("[workspace.package]")[2].partition("\n[")[0]
    assert run("--version").stdout == f"s3z {__version__}\n"


def test_usage_errors_are_one_line_and_a_hint():
    done = run("cp", "--foo\x1b[31m", "a", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        'ERROR "cp": unknown option "--foo\\x1b[31m"',
        "hint: `s3z cp --help` lists its options",
    ]


def test_usage_errors_are_json_when_asked():
    done = run("cp", "--json", "a")
    record = json.loads(done.stderr)
    assert done.returncode == 2
    assert (record["operation"], record["success"], record["error"]["kind"]) == ("cp", False, "usage")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3://b", "out/"], "source argument must contain wildcard character"),
        (["s3://b/p/", "out/"], "source argument must contain wildcard character"),
        (["dir", "s3://b/q"], 'target "s3://b/q" must be a bucket or a prefix'),
        (["dir/", "s3://b/q"], 'target "s3://b/q" must be a bucket or a prefix'),
        (["dir/*", "s3://b/q"], 'target "s3://b/q" must be a bucket or a prefix'),
        (["s3://b/p/*", "s3://c/q"], 'target "s3://c/q" must be a bucket or a prefix'),
        (["s3://b/p/a.txt", "*"], 'target "*" can not contain glob characters'),
        (["dir/", "other/"], "local->local copy operations are not permitted"),
        (["nothing", "s3://b/q"], 'given object "nothing" not found'),
        (["fifo", "s3://b/q"], 'object "fifo" is not a regular file'),
    ],
)
def test_cp_refuses_before_any_work(tmp_path, arguments, message):
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    done = run("cp", *arguments, cwd=tmp_path)
    first = done.stderr.splitlines()[0]
    assert (done.returncode, done.stdout) == (1, "")
    assert first.startswith(f'ERROR "cp {arguments[0]} {arguments[1]}": ')
    assert message in first


def test_ls_lists_local_files(tmp_path):
    for name in ("dir/b", "dir/a/c", "dir/.h", "dir/.s3z-0123.part", "dir/a-", "x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("12345")

    def names(*arguments):
        done = run("ls", *arguments, cwd=tmp_path)
        return done.returncode, [line.split(None, 3)[3] for line in done.stdout.splitlines()]

    assert names("dir/") == (0, [".h", "a-", "a/c", "b"])
    assert names("dir") == (0, ["dir/.h", "dir/a-", "dir/a/c", "dir/b"])
    assert names("d*") == (0, ["dir/.h", "dir/a-", "dir/a/c", "dir/b"])
    assert names("dir/a*") == (0, ["a-", "a/c"])
    assert names("dir/*/c") == (0, ["a/c"])
    assert names("--exclude", "a*", "dir/") == (0, [".h", "b"])
    assert names("x.txt") == (0, ["x.txt"])
    assert names("*.pdf") == (1, [])
    assert 'no match found for "*.pdf"' in run("ls", "*.pdf", cwd=tmp_path).stderr
    (tmp_path / "dir/.s3z-0123.part").unlink()


def test_a_closed_stdout_is_quiet():
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "s3z", "--help"], stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_malformed_output_variable_is_named(tmp_path):
    done = run("ls", str(tmp_path), env={**os.environ, "S3Z_LOG": "loud"})
    assert done.returncode == 1
    assert done.stderr.startswith('ERROR "ls ')
    assert "S3Z_LOG" in done.stderr
