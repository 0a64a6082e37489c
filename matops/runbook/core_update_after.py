"""After core:update: the new plugins' installation, the second look, and what it wrote.

New core plugins are installed, with their tables, by the first web request after an update, not
by core:update. Left to visitors, that happens at a moment nobody chose. ``console
climulti:request`` runs the very same code (FrontController::init, installLoadedPlugins) on the
command line, where maintenance mode does not bar it; measured on 5.3.1 and 5.8.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from matops.errors import MatopsError
from matops.host import files
from matops.matomo import config_edit, console, ini, staged_config
from matops.matomo import core_update_look as looking
from matops.matomo.core_update_words import up_to_date_words
from matops.matomo.site import Site
from matops.units import compact_time, utc_now

INSTALL = (
    "climulti:request", "--superuser", "module=API&method=API.getMatomoVersion&format=json",
)  # fmt: skip
"""Reads the version; on its way Matomo installs every loaded plugin that is not yet."""
PATIENCE = 1800.0  # seconds for one short console call on a busy machine

Say = Callable[[str], object]


def install_plugins(site: Site, say: Say) -> tuple[list[str], list[str]]:
    """Lets Matomo install what is loaded and not installed: (installed, not loaded by Matomo's own
    choice). MatopsError where the request does not come to its end."""
    wanted = looking.facts(site.docroot)["to_install"]
    if not wanted:
        return [], []
    say(f"  not installed yet: {', '.join(wanted)}; Matomo is asked to (console {INSTALL[0]})")
    result, verdict = console.run(site, INSTALL, timeout=PATIENCE)
    facts = looking.facts(site.docroot)
    left = facts["to_install"]
    if f'"value":"{facts["files"]}"' not in result.text.replace(" ", ""):
        raise MatopsError(
            f"Matomo did not install {', '.join(left or wanted)}: "
            f"{verdict.why or ' '.join(result.text.split())[:200] or 'it says nothing'}",
            host=site.host.name,
            state="core:update itself is done",
            next=f"repair that (may {site.web_user} write config.ini.php?), then run this again",
        )
    if left:
        say(f"  Matomo does not load {', '.join(left)}: left as they are")
    return [name for name in wanted if name not in left], list(left)


def repair(site: Site, say: Say) -> list[str]:
    """Installs anew the plugins that are noted as installed and lack their tables; their names.

    A web request between two files of a copy makes such (facts §6): the note is taken away, so
    that Matomo installs them. Core's own missing tables are left to ``demand_current``.
    """
    broken = sorted({
        line.partition(" (")[2].rstrip(")")
        for line in looking.facts(site.docroot)["missing"]
        if not line.endswith("(core)")
    })  # fmt: skip
    if not broken:
        return []
    say(f"  {', '.join(broken)}: noted as installed, but without tables; installed anew")
    text = Path(site.docroot, "config", "config.ini.php").read_text(errors="replace")
    listed = ini.list_of(ini.parse(text), "PluginsInstalled", "PluginsInstalled")
    rest = [name for name in listed if name not in broken]
    config_edit.edit(site, [["PluginsInstalled", "PluginsInstalled", rest]])
    install_plugins(site, say)
    return broken


def activate(site: Site, names: Sequence[str], say: Say) -> None:
    """Activates plugins, one console call; verified in the configuration. MatopsError."""
    say(f"  activating {', '.join(names)}")
    words = ["plugin:activate", *names]
    _, verdict = console.run(site, words, timeout=PATIENCE)
    left = [name for name in looking.facts(site.docroot)["new"] if name in names]
    if left:
        console.raise_unless_ok(site, words, verdict)
        raise MatopsError(
            f"{', '.join(left)} could not be activated: {verdict.why or 'it says nothing'}",
            host=site.host.name,
            next=f'console "plugin:activate {" ".join(left)}" shows why',
        )


def second_look(site: Site) -> str:
    """'' where core:update says that all is up to date; else what it says."""
    result, _ = console.run(site, ["core:update"], timeout=PATIENCE)
    text = result.text + result.err.decode(errors="replace")
    if any(words in text for words in up_to_date_words(site.docroot)):
        return ""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return "; ".join(lines[:4])[:400] or f"nothing (exit code {result.code})"


def demand_current(site: Site, facts: dict[str, Any], not_loaded: Sequence[str] = ()) -> None:
    """MatopsError where versions or tables are not those of the files. ``not_loaded``: plugins
    that Matomo itself passes over."""
    wrong = []
    if facts["files"] != facts["database"]:
        wrong.append(f"version_core is {facts['database']}, the files are {facts['files']}")
    wrong += [f"behind: {line}" for line in facts["behind"]]
    wrong += [f"not installed: {name}" for name in facts["to_install"]
              if name not in not_loaded]  # fmt: skip
    wrong += [f"missing table: {name}" for name in facts["missing"]]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise MatopsError(
            f"the update is not complete: {'; '.join(wrong[:5])}{more}",
            host=site.host.name,
            state="Nothing runs any more; maintenance mode and the held queue stay as they are",
            next="run core.update again; where it says the same, look at its job's log",
        )


# --- what it wrote into the configuration ------------------------------------------------------


def keep_config(site: Site) -> str:
    """Copies config.ini.php into the state folder (0600) before the update; where it is."""
    text = files.read(site.host, f"{site.docroot}/config/config.ini.php", user=site.keeper)
    folder = f"{site.state_dir}/config"
    path = f"{folder}/before-core.update.{compact_time(utc_now())}.ini.php"
    files.make_folder(site.host, folder, user=site.keeper)
    files.write(site.host, path, text, user=site.keeper, mode="0600")
    return path


def lost_plugins(site: Site, kept: str) -> list[str]:
    """Plugins that were activated before, whose files are there, and that no longer are.

    A plugin whose migration failed in a run that then crashed: its [!] was never printed.
    """
    folder = Path(site.docroot)
    usual = ini.parse((folder / "config" / "global.ini.php").read_text(errors="replace"))
    texts = (
        files.read(site.host, kept, user=site.keeper).decode(errors="replace"),
        (folder / "config" / "config.ini.php").read_text(errors="replace"),
    )
    before, now = (
        ini.list_of(ini.parse(text), "Plugins", "Plugins")
        or ini.list_of(usual, "Plugins", "Plugins")
        for text in texts
    )
    return [n for n in before if n not in now and (folder / "plugins" / n / f"{n}.php").is_file()]


def config_changes(site: Site, kept: str) -> list[str]:
    """What is different in config.ini.php since ``kept``, a line each; secrets are not shown."""
    before = files.read(site.host, kept, user=site.keeper).decode(errors="replace")
    folder = Path(site.docroot, "config")
    after = (folder / "config.ini.php").read_text(errors="replace")
    defaults = (folder / "global.ini.php").read_text(errors="replace")
    lines = staged_config.changes(before, after, defaults)
    lost = _comments(before) - _comments(after)
    if lost > 0:
        lines.append(f"{lost} comment lines are gone: Matomo writes the file anew without them; "
                     f"as it was: {kept}")  # fmt: skip
    return lines


def _comments(text: str) -> int:
    return sum(line.lstrip().startswith(";") for line in text.splitlines()[2:])
