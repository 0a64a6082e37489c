"""What makes a function a task: its errors are one line and an exit code; where it was typed."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Optional

import invoke
from invoke.exceptions import Exit

from matops.errors import MatopsError
from matops.tasks import usage

usage.install()


def operation(
    help: Optional[dict[str, str]] = None, positional: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Any]:
    """A task: no short flags by accident, help for each flag, errors as one line and a code."""

    def wrap(body: Callable[..., Any]) -> Any:
        @functools.wraps(body)
        def guarded(context: Any, *args: Any, **kwargs: Any) -> Any:
            # A stop by TERM (jobs.stop, a shutdown) cleans up just as Ctrl-C does.
            signal.signal(signal.SIGTERM, _interrupt)
            try:
                return body(context, *args, **kwargs)
            except MatopsError as error:
                error.on(host_name(context))
                raise Exit(f"{error.line()}{_skipped_hosts(context)}", error.code) from None
            except BrokenPipeError:  # `fab … jobs | head`: nobody listens any more
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise Exit(code=0) from None
            except KeyboardInterrupt:
                raise Exit(
                    f"{host_name(context)}: interrupted. What was done stays; "
                    "Next: run the same task again: it looks first and goes on",
                    130,
                ) from None

        return invoke.task(guarded, auto_shortflags=False, help=help or {}, positional=positional)

    return wrap


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def host_name(context: Any) -> str:
    """What the operator typed behind -H, or this machine's name."""
    return str(getattr(context, "original_host", "") or os.uname().nodename)


def is_remote(context: Any) -> bool:
    """True under ``fab -H``; False under ``inv`` and in the agent."""
    return hasattr(context, "original_host")


def typed_hosts(context: Any) -> list[str]:
    """What stands behind ``fab -H``; this machine alone under ``inv``."""
    if not is_remote(context):
        return [host_name(context)]
    from fabric.main import program

    try:
        typed = [name for name in program.args.hosts.value.split(",") if name]
    except AttributeError:  # hosts of a @task(hosts=…), or a program of somebody's own
        return [host_name(context)]
    return [re.sub(r":\d+$", "", name.rpartition("@")[2]) for name in typed]


def _skipped_hosts(context: Any) -> str:
    """fab ends all at the first failure and does not say which hosts it did not come to."""
    names = typed_hosts(context)
    rest = names[names.index(host_name(context)) + 1 :] if host_name(context) in names else []
    return f". Not run on: {', '.join(rest)}" if rest else ""
