"""The command ``riskcal``: verbs, exit codes, and messages for people."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from risk.errors import RiskcalError

VERBS = {
    "demo": "The whole chain on the embedded sample market.",
    "fetch": "New rows of every feed into a store.",
    "feeds": "Every price series with its quality verdict.",
    "calibrate": "Fit the models: risk figures with intervals, track record.",
    "backtest": "Forecast every bar before it was seen: the track record.",
    "recommend": "Derive the target parameters and the next legal step.",
    "stress": "Bad debt of the parameter sets in crashes, against the budgets.",
    "propose": "The whole chain: a proposal with its evidence.",
    "gate": "Check a parameter change, base against head.",
    "diff": "What changed between two runs or two parameter files.",
    "reproduce": "Make a run again from its snapshot and compare.",
}
"""Verb to short help; the module of a verb has its name and holds a command of its name."""

BAD_INPUT, DEFECT, INTERRUPTED = 2, 4, 130
BROKEN_PIPE = 141  # what a shell reports of a process that SIGPIPE ended


class _Verbs(click.Group):
    """Looks verbs up by name and imports a verb's module only when the verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"reports.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="riskcal", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of a defect.")
def cli(**_: bool) -> None:
    """Calibrate the risk parameters of a DeFi margin engine.

    From price feeds to a governance proposal with its evidence; every later change is checked.

    Exit codes: 0 good; 1 a finding; 2 bad input or usage; 3 a source not reached; 4 a defect; 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Verbs return 0 or 1; errors of the tree in `risk.errors` carry theirs. The message goes to standard error, and
    a traceback is shown only for a defect and only with ``--debug``.

    Parameters
    ----------
    arguments
        By default those of the process, whose threads and signals are then set up, too.
    """
    own_process = arguments is None
    if arguments is None:
        _use_one_thread()
        _heed_interrupts()
        arguments = sys.argv[1:]
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line: whatever else comes is ours to mend
        code = _report(error, debug="--debug" in arguments)
    if own_process and code == INTERRUPTED:
        # CPython would now and then end by the signal instead: it remembers an interrupt inside exec() for ever.
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    return code


def _run(arguments: Sequence[str]) -> int:
    with cli.make_context("riskcal", list(arguments)) as context:  # click empties its list
        return int(cli.invoke(context) or 0)


def _use_one_thread() -> None:
    """One thread a task, before numpy is imported: sums do not depend on the number of cores."""
    for name in ("OPENBLAS", "OMP", "MKL", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = "1"


def _heed_interrupts() -> None:
    """End in the same tidy way when terminated, and let no interrupt be lost.

    An interrupt that arrives while the interpreter calls back into Python (during an import, say) cannot be raised
    there and is only reported: it is then raised again a moment later.
    """

    def once_more(lost: sys.UnraisableHookArgs) -> None:
        if lost.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        else:
            sys.__unraisablehook__(lost)

    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.default_int_handler)
    sys.unraisablehook = once_more


def _report(error: BaseException, *, debug: bool) -> int:
    """Say what happened, and return the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort) or _was_interrupted(error):
        _say("interrupted; nothing half-written is left")
        return INTERRUPTED
    if isinstance(error, RiskcalError) and error.exit_code != DEFECT:
        _say(str(error))
        return error.exit_code
    if isinstance(error, OSError) and (code := _system_error(error)) is not None:
        return code
    _say(f"this is a defect of riskcal, not of your input: {type(error).__name__}: {error}")
    if debug:
        click.echo(_masked("".join(traceback.format_exception(error))), err=True, nl=False)
    else:
        _say("run `riskcal --debug VERB ...` for the traceback, and please report it")
    return DEFECT


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt is behind an error: compiled code reports one as an error of its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _system_error(error: OSError) -> int | None:
    """The exit code of what the system refused; None when it is not about a file or a pipe."""
    if error.errno == errno.EPIPE:
        # The reader has gone. Point the stream elsewhere, so that the flush at exit is quiet, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    where = f"{error.filename}: " if error.filename is not None else ""
    _say(f"{where}{error.strerror}. Name a path that you may read and write, on a disk with room")
    return BAD_INPUT


def _say(message: str) -> None:
    click.echo(f"riskcal: {_masked(message)}", err=True)


def _masked(text: str) -> str:
    """The text without secrets; there are none as long as nothing asked for them."""
    masking = sys.modules.get("oracle_adapters.masking")
    return text if masking is None else str(masking.mask(text))


if __name__ == "__main__":
    sys.exit(main())
