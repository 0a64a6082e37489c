"""Long commands as jobs: they survive us, start at most once, and can be read by anyone.

A job is a directory on the host: ``cmd log pid started ended rc``. It runs while its lock is
held (an flock on a descriptor that its children close), whoever watches. The pattern was tested
by killing the SSH session midway and by kill -9 of the job.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused, UsageError
from matops.host.shell import CommandFailed, Host
from matops.units import compact_time, utc_now

KEEP_DAYS = 90  # jobs that ended longer ago are removed when another one starts
CHUNK = 48 * 1024  # bytes of log fetched with one poll

RUNNING, DONE, FAILED, LOST = "running", "done", "failed", "lost"


@dataclass(frozen=True)
class Job:
    """What the host says of a job. ``code`` is None while it runs and where it was lost."""

    name: str
    state: str
    code: Optional[int]
    started: str
    ended: str
    command: str
    log_size: int = 0

    @property
    def label(self) -> str:
        """The step or command it belongs to: the name without its time."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Poll:
    """One look at a job: its state and the log bytes from ``offset`` on."""

    job: Job
    log: bytes
    offset: int


def new_name(label: str) -> str:
    """``archive.purge.20261122T121600Z-3fa9``: sorts by time within its label; never twice."""
    return f"{label}.{compact_time(utc_now())}-{secrets.token_hex(2)}"


def check_name(name: str) -> str:
    """The name if it can be one. UsageError otherwise: it becomes part of a path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}", name):
        raise UsageError(f"'{name}' is not the name of a job; `jobs` lists them")
    return name


# $1 folder of all jobs, $2 name, $3 user, $4 the command (a shell script), $5 working folder,
# $6 bytes of stdin: a cut link looks like its end, and half of it must not be run.
# The wrapper outlives us by setsid -f with every stream redirected; nohup alone blocks or dies.
_START = r"""
umask 077
set -e
jobs=$1 name=$2 user=$3 command=$4 folder=$5 bytes=$6
mkdir -p -- "$jobs"
find "$jobs" -mindepth 1 -maxdepth 1 -mtime +@DAYS@ -exec test -e {}/rc \; \
    -exec rm -rf -- {} + || true
job=$jobs/$name
mkdir -- "$job" 2>/dev/null || { echo exists; exit 0; }
printf '%s\n' "$command" > "$job/cmd"
printf '%s\n' "$folder" > "$job/folder"
: > "$job/log"
cat > "$job/stdin"
[ "$(stat -c %s "$job/stdin")" = "$bytes" ] || { rm -rf -- "$job"; echo cut off >&2; exit 1; }
cat > "$job/run" <<'EOF'
job=$1 user=$2
exec 9> "$job/lock"
flock -n 9 || exit 75
echo $$ > "$job/pid"
date -u +%Y-%m-%dT%H:%M:%SZ > "$job/started"
# Children get the signal of `jobs.stop`; we stay to write down how it ended.
trap : TERM INT HUP
exec 8< "$job/stdin"; rm -f "$job/stdin"
if [ "$(id -un)" = "$user" ]; then set -- sh; else set -- runuser -u "$user" -- sh; fi
"$@" -c 'cd -- "$1" || exit 1; eval "$2"' sh "$(cat "$job/folder")" "$(cat "$job/cmd")" \
    <&8 >> "$job/log" 2>&1 8<&- 9>&- &
child=$! ; exec 8<&-
rc=0; wait $child || rc=$?
while kill -0 $child 2>/dev/null; do rc=0; wait $child || rc=$?; done
# Killed: what it had started must not go on unseen.
if [ $rc -gt 128 ]; then
    for pid in $(pgrep -s $$); do [ $pid = $$ ] || kill -KILL $pid 2>/dev/null; done
fi
date -u +%Y-%m-%dT%H:%M:%SZ > "$job/ended"
echo $rc > "$job/rc.new"; sync "$job/rc.new" 2>/dev/null; mv "$job/rc.new" "$job/rc"
EOF
setsid -f sh "$job/run" "$job" "$user" </dev/null >/dev/null 2>"$job/trouble"
i=0
while [ ! -s "$job/started" ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done
[ -s "$job/started" ] || { echo "it has not begun yet $(cat "$job/trouble")" >&2; exit 98; }
echo started
""".replace("@DAYS@", str(KEEP_DAYS))

# One job's state, as `key=value` lines. The lock is asked before rc: the other way round a job
# that ends in between would look lost.
# Builtins only, but for jobs without rc: hundreds of old jobs are looked at in no time.
_LOOK = r"""
first() { line=; [ ! -r "$1" ] || IFS= read -r line < "$1" || true; }
look() {
    job=$1 state=ended
    if [ ! -e "$job/rc" ] && [ -e "$job/lock" ]; then
        flock -sn "$job/lock" true 2>/dev/null || state=running
    fi
    printf 'job=%s\nstate=%s\n' "${job##*/}" "$state"
    for part in rc started ended cmd; do
        first "$job/$part"; printf '%s=%.300s\n' "$part" "$line"
    done
}
"""

# Its lock is free when it has ended, and taken for good before anybody can know its name.
_WAIT = """
cd -- "$1/$2" 2>/dev/null || exit 44
if [ "$5" != 0 ] && [ ! -e rc ] && [ -e lock ] && [ "$(stat -c %s log)" -lt "$3" ]; then
    flock -s -w "$5" lock true 2>/dev/null || true
fi
"""


class Jobs:
    """The jobs of one installation on one host; ``folder`` is theirs, ``owner`` keeps it."""

    def __init__(self, host: Host, folder: str, owner: Optional[str] = "root") -> None:
        self.host = host
        self.folder = folder
        self.owner = owner

    def start(
        self, name: str, command: str, *, user: str, folder: str = "/", stdin: bytes = b""
    ) -> bool:
        """Starts a job; False where one of that name is there already (it is not started again).

        ``command`` is a shell script run as ``user`` in ``folder``; ``stdin`` is read by it once
        and not kept. After a lost link: call again with the same name, it starts at most once.
        """
        result = self.host.run(
            _START, self.folder, check_name(name), user, command, folder, str(len(stdin)),
            user=self.owner, stdin=stdin, check=False, what=f"start job {name}",
        )  # fmt: skip
        if result.code == 98:
            raise OutcomeUnknown(
                f"job {name} was started but does not say that it runs: {result.complaint}",
                host=self.host.name,
                next=f"jobs.follow {name}",
            )
        if result.code != 0:
            raise CommandFailed(f"job {name} could not be started", result).on(self.host.name)
        return result.text.split()[-1:] == ["started"]

    def poll(self, name: str, offset: int = 0, wait: float = 0.0) -> Poll:
        """State and the next piece of log, in one round trip. UsageError: no such job.

        ``wait``: the host waits so many seconds for the job's end first, where the log holds
        nothing new: who follows a job learns of its end at once, and need not ask again and again.
        """
        script = (
            _LOOK
            + _WAIT
            + ('look "$1/$2"; echo "log=$(stat -c %s log)"; echo; tail -c +"$3" log | head -c "$4"')
        )
        result = self.host.run(
            script, self.folder, check_name(name), str(offset + 1), str(CHUNK), f"{wait:g}",
            user=self.owner, cap=CHUNK + 4096, check=False, what=f"look at job {name}",
        )  # fmt: skip
        if result.code == 44:
            raise UsageError(f"no job '{name}' here; `jobs` lists them", host=self.host.name)
        if result.code != 0:
            raise MatopsError(f"cannot look at job {name}: {result.complaint}", host=self.host.name)
        head, _, log = result.out.partition(b"\n\n")
        job = parse(head.decode(errors="replace"))[0]
        return Poll(job, log, offset + len(log))

    def list(self, label: str = "") -> list[Job]:
        """All jobs, the oldest first; of one label if given. One round trip."""
        script = _LOOK + (
            '[ -d "$1" ] || exit 0; '
            'for job in "$1"/"$2"*/; do [ -d "$job" ] && look "${job%/}"; done; true'
        )
        start = f"{check_name(label)}." if label else ""
        result = self.host.run(
            script, self.folder, start, user=self.owner, cap=4 << 20, what="list the jobs"
        )
        found = [job for job in parse(result.text) if label in ("", job.label)]
        return sorted(found, key=lambda job: (job.started, job.name))

    def latest(self, label: str) -> Optional[Job]:
        """The youngest job of this label, running or not."""
        found = self.list(label)
        return found[-1] if found else None

    def last_line(self, name: str) -> str:
        """The last line of its output that is not empty; '' where there is none. Two round trips;
        raises what ``poll`` raises."""
        size = self.poll(name).job.log_size
        text = self.poll(name, max(size - 4000, 0)).log.decode(errors="replace")
        return ([line.strip() for line in text.splitlines() if line.strip()] or [""])[-1]

    def stop(self, name: str, grace: int = 20) -> Job:
        """Ends a job: TERM to its whole session, KILL after ``grace`` seconds; how it ended.

        Refused where it does not run. Its session, not only its process: Matomo's archiver
        starts children that are re-parented to pid 1.
        """
        if self.poll(name).job.state != RUNNING:
            raise Refused(f"job {name} is not running", host=self.host.name)
        script = (
            'cd -- "$1/$2" || exit 44; pid=$(cat pid); '
            'pkill -TERM -s "$pid"; i=0; '
            'while ! flock -sn lock true && [ $i -lt "$3" ]; do sleep 1; i=$((i+1)); done; '
            'flock -sn lock true || pkill -KILL -s "$pid"; '
            # the children of the session that re-parented themselves
            'pkill -KILL -s "$pid"; true'
        )
        self.host.run(
            script, self.folder, name, str(grace),
            user=self.owner, timeout=grace + 30, check=False, what=f"stop job {name}",
        )  # fmt: skip
        job = self.poll(name).job
        if job.state == RUNNING:
            raise OutcomeUnknown(
                f"job {name} does not end", host=self.host.name, next=f"fab jobs.follow {name}"
            )
        return job


def parse(text: str) -> list[Job]:
    """Jobs from the lines that the look script prints."""
    found = []
    for block in re.split(r"(?m)^(?=job=)", text):
        fields = dict(_pairs(block))
        if fields.get("job"):
            code = int(fields["rc"]) if fields.get("rc", "").lstrip("-").isdigit() else None
            found.append(
                Job(
                    name=fields["job"],
                    state=_state(fields.get("state", ""), code),
                    code=code,
                    started=fields.get("started", ""),
                    ended=fields.get("ended", ""),
                    command=fields.get("cmd", "").strip(),
                    log_size=int(fields.get("log", "0").strip() or 0),
                )
            )
    return found


def _pairs(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            yield key, value


def _state(state: str, code: Optional[int]) -> str:
    if state == "running":
        return RUNNING
    if code is None:
        return LOST  # killed with -9, or the machine went down: nobody wrote an exit code
    return DONE if code == 0 else FAILED


def exit_code(job: Job) -> int:
    """The job's exit code as one of ours: a signal is 4 (unknown), what we do not know is 1."""
    code = job.code or 0
    if code > 128 and code != 130:
        return 4
    return code if code in (0, 1, 2, 3, 4, 75, 130) else 1


def lost(job: Job, host: str) -> OutcomeUnknown:
    """The error for a job that vanished without an exit code."""
    return OutcomeUnknown(
        f"job {job.name} ended without an exit code (killed, or the machine went down)",
        host=host,
        state="How far it came is unknown",
        next=f"fab -H {shlex.quote(host)} jobs.follow {job.name} shows its log; "
        "run the task again: it looks first",
    )
