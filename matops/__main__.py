"""The agent's entry: ``call`` answers one request on stdin; anything else is a task name."""

from __future__ import annotations

import sys


def main() -> None:
    """``python3 matops.pyz call`` or ``python3 matops.pyz TASK [flags]`` (as ``inv`` would)."""
    if sys.argv[1:] == ["call"]:
        from matops.host.agent import serve

        sys.stdout.buffer.write(serve(sys.stdin.buffer.read()))
        return
    from invoke.program import Program

    import tasks
    from matops import __version__

    Program(name="matops", version=__version__, namespace=tasks.ns).run()


if __name__ == "__main__":
    main()
