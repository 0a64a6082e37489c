"""A folder that looks like an installed Matomo whose database is a test server's."""

from __future__ import annotations

from pathlib import Path

from matops.mysql.session import Address


def make(folder: Path, address: Address, prefix: str = "piwik_") -> Path:
    """Writes config.ini.php and what else the site probe looks for; the docroot."""
    docroot = folder / "matomo"
    for sub in ("config", "core", "tmp"):
        (docroot / sub).mkdir(parents=True)
    (docroot / "console").write_text("#!/usr/bin/env php\n")
    (docroot / "matomo.php").write_text("<?php\n")
    (docroot / "core" / "Version.php").write_text(
        "<?php final class Version { const VERSION = '5.8.0'; }\n"
    )
    (docroot / "config" / "global.ini.php").write_text("[General]\n")
    (docroot / "config" / "config.ini.php").write_text(
        "; <?php exit; ?>\n[database]\n"
        f'host = "{address.host}"\nport = {address.port}\nusername = "{address.user}"\n'
        f'password = "{address.password}"\ndbname = "{address.schema}"\n'
        f'tables_prefix = "{prefix}"\n'
    )
    return docroot
