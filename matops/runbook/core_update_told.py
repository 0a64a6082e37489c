"""What ``core.update`` says of itself: evidence, and notes of a look. Pure."""

from __future__ import annotations

from typing import Any

from matops.units import show_duration


def left_over(facts: dict[str, Any]) -> list[str]:
    """Statements that the server is at work on already, a line each."""
    return [
        f"the server is at work on {line}: waited for before anything is started"
        for line in facts["statements"]
    ]


def marks(note: dict[str, Any]) -> str:
    """What went wrong in it, to hang on a line; '' where nothing did."""
    result = note.get("result") or {}
    trouble = "; ".join(result.get("trouble", []))
    gone = ", ".join(result.get("deactivated", []))
    parts = [f"; plugins failed in the update: {trouble}" if trouble else "",
             f"; it deactivated {gone}" if gone else ""]  # fmt: skip
    return "".join(parts)


def line(facts: dict[str, Any], note: dict[str, Any], result: dict[str, Any]) -> str:
    """The evidence in one line."""
    span = f"{note.get('from')} → {facts['files']}"
    parts = [f"{span}, everything is already up to date on a second look"]
    if result.get("migrations"):
        took = show_duration(result.get("seconds", 0.0))
        parts.append(f"{result['migrations']} migrations in {took}")
    if result.get("restarts"):
        parts.append(f"{result['restarts']} restarts after a crash")
    if result.get("installed"):
        parts.append(f"installed with their tables: {', '.join(result['installed'])}")
    return "; ".join(parts)
