"""The command: verbs are looked up late, errors become exit codes and one clean message."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from oracle_adapters import masking
from reports.cli import main as command
from risk import errors


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run a verb that raises, and return the exit code."""

    def run(error: BaseException, *arguments: str) -> int:
        def verb() -> None:
            raise error

        monkeypatch.setattr(command._Verbs, "get_command", lambda *_: click.command()(verb))
        return command.main([*arguments, "verb"])

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("wrong", file="a.csv", field="row 3", value="x", remedy="Mend it"), 2),
        (errors.SettingsError("wrong", file="a.csv", field="row 3", value="x", remedy="Mend it"), 2),
        (errors.EvidenceError("wrong", file="a.csv", field="row 3", value="x", remedy="Mend it"), 1),
        (errors.RefusalError("wrong", file="a.csv", field="row 3", value="x", remedy="Mend it"), 1),
        (errors.SourceError("wrong", file="a.csv", field="row 3", value="x", remedy="Mend it"), 3),
    ],
)
def test_an_error_of_the_tree_is_one_line_and_its_code(
    failing: Callable[..., int], capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    assert failing(error) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "riskcal: a.csv: row 3: wrong (found 'x'). Mend it\n")


def test_a_defect_shows_its_traceback_only_when_asked(
    failing: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (ZeroDivisionError("by us"), errors.DefectError("by us")):
        assert failing(error) == 4
        err = capsys.readouterr().err
        assert "defect of riskcal" in err
        assert "by us" in err
        assert "Traceback" not in err
    assert failing(ZeroDivisionError("by us"), "--debug") == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_secret_is_in_no_message_and_no_traceback(
    failing: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "_HIDDEN", set())
    monkeypatch.setenv("MAINNET_RPC", "https://eth.example/v2/0123456789abcdef")
    url = masking.secret("MAINNET_RPC")
    for error in (ValueError(f"cannot parse {url}"), errors.SourceError("lost /v2/0123456789abcdef", file=url)):
        assert failing(error, "--debug") in (3, 4)
        err = capsys.readouterr().err
        assert "0123456789abcdef" not in err
        assert "***" in err


def test_an_interrupt_is_130(failing: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "riskcal: interrupted; nothing half-written is left\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_what_the_system_refuses_names_the_path(
    failing: Callable[..., int], capsys: pytest.CaptureFixture[str], number: int
) -> None:
    assert failing(OSError(number, os.strerror(number), "some/file")) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"riskcal: some/file: {os.strerror(number)}. Name a path")


def test_an_os_error_about_no_file_is_a_defect(failing: Callable[..., int]) -> None:
    assert failing(OSError(errno.ECHILD, "No child processes")) == 4


def test_every_verb_has_a_module_with_a_command_and_says_what_it_does() -> None:
    context = click.Context(command.cli)
    for name in command.VERBS:
        verb = command.cli.get_command(context, name)
        assert isinstance(verb, click.Command)
        assert verb.name == name
        assert verb.help
    assert set(command.cli.list_commands(context)) == set(command.VERBS)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["feeds"], ["feeds", "a", "b"], ["--nonsense"], ["demo", "--seed", "x"]]
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    assert "Usage:" in capsys.readouterr().err


def test_help_and_version_are_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--version"]) == 0
    assert command.main(["--help"]) == 0
    assert command.main(["propose", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in command.VERBS)


def test_one_thread_is_set_before_numpy_is_imported() -> None:
    """Whatever the environment said, and with no numpy loaded by the module itself."""
    code = (
        "import sys, os\nimport reports.cli.main as m\nassert 'numpy' not in sys.modules\nm._use_one_thread()\n"
        "print({k: v for k, v in os.environ.items() if k.endswith('_NUM_THREADS')})"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.count("'1'") == 4


def test_a_broken_pipe_is_quiet(tmp_path: Path) -> None:
    files = []
    for name, value in (("a", "80.00%"), ("b", "81.00%")):
        lines = "".join(f'[m.reserve.A{i}]\ncollateral_factor = "{value}"\n' for i in range(3000))
        files.append(tmp_path / f"{name}.toml")
        files[-1].write_text(lines)
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "reports.cli.main", "diff", *map(str, files), "--json"],
        stdout=writer, stderr=subprocess.PIPE, text=True,
    ) as done:  # fmt: skip
        os.close(writer)
        os.close(reader)
        assert done.communicate()[1] == ""
    assert done.returncode == 141


def test_diff_of_parameter_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text('[m.reserve.A]\ncollateral_factor = "80.00%"\n')
    (tmp_path / "b.toml").write_text('[m.reserve.A]\ncollateral_factor = "75.50%"\n')
    pair = [str(tmp_path / "a.toml"), str(tmp_path / "b.toml")]
    assert command.main(["diff", *pair]) == 0
    assert "m/reserve/A/collateral_factor  80.00%  75.50%" in capsys.readouterr().out
    assert command.main(["diff", *pair, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["parameters"]["rows"] == [
        {"key": "m/reserve/A/collateral_factor", "before": "80.00%", "after": "75.50%"}
    ]
    assert command.main(["diff", pair[0], str(tmp_path)]) == 2
    assert command.main(["diff", pair[0], str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml: cannot be read: No such file" in capsys.readouterr().err
