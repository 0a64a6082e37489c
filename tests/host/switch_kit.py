"""For tests of switches in config.ini.php: run one step, look at files, put all back."""

from __future__ import annotations

from matops.runbook.engine import Outcome, Run, run_steps
from matops.runbook.journal import Journal
from matops.runbook.step import Say, Step
from tests.sandbox import Sandbox

CONFIG = "/var/www/html/config/config.ini.php"
LOG = "/var/log/apache2/access.log"


def silent(line: str) -> None:
    """Says nothing."""


def run(step: Step, say: Say = silent) -> Outcome:
    """One step by the engine that a task uses, without the lock."""
    journal = Journal(step.site, "test", "test")
    return run_steps([step], Run(step.site, say, journal))[0]


def shell(sandbox: Sandbox, script: str) -> str:
    """Output of a script, as root on the host."""
    return sandbox.exec("sh", "-c", script).stdout


def keep(sandbox: Sandbox) -> None:
    """Copies what tests change."""
    shell(sandbox, f"cp -a {CONFIG} /root/config.kept; cp -a /etc/apache2 /root/apache2.kept; "
          f"cp -a {LOG} /root/log.kept; rm -f /var/lib/matops/*/outage.json")  # fmt: skip


def put_back(sandbox: Sandbox) -> None:
    """All of it as it was; the log's inode stays, for Apache writes to it."""
    shell(sandbox, f"cp -a /root/config.kept {CONFIG}; cat /root/log.kept > {LOG}; "
          "rm -f /var/lib/matops/*/outage.json /var/www/html/bootstrap.php "
          "/var/www/html/config/*example*; rm -rf /var/www/html/tmp/*.*/; "
          "diff -qr /root/apache2.kept /etc/apache2 || { rm -rf /etc/apache2; "
          "cp -a /root/apache2.kept /etc/apache2; service apache2 reload; }; "
          "rm -rf /root/apache2.kept /root/log.kept")  # fmt: skip


def log_as(sandbox: Sandbox, directive: str) -> None:
    """Another CustomLog for the virtual host."""
    script = (
        "import glob, re, sys\nf = glob.glob('/etc/apache2/sites-enabled/*.conf')[0]\n"
        "t = open(f).read()\nline = sys.argv[1]\n"
        "open(f, 'w').write(re.sub('(?m)^ *CustomLog.*', lambda m: line, t))"
    )
    sandbox.exec("python3", "-c", script, directive)
    shell(sandbox, "service apache2 reload")
