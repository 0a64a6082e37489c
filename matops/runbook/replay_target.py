"""Where a replay is sent to, and whether that works: tried before the first hit leaves."""

from __future__ import annotations

from urllib.parse import urlsplit

from matops.accesslog.replay.client import Client, Lost, NotSent, Target
from matops.accesslog.replay.task import Run
from matops.errors import MatopsError, Refused
from matops.matomo import witness_http, witness_logs
from matops.runbook.replay_asked import Asked

_PROBES = 5  # requests that record nothing, sent before the first batch


def find(docroot: str, asked: Asked) -> Target:
    """Where to send: the address that was given, else this very server's own sockets. MatopsError
    where none answers as a tracker that records."""
    if asked.url:
        return Target(asked.url, queue=asked.through_queue)
    config = witness_logs.config_text(docroot)
    said = []
    for place in witness_http.targets("", config):
        if place["public"]:
            continue
        answer = witness_http.ask(place, "matomo.php")
        # A queue answers in the tracker's place, with its picture; ``rehearse`` looks closer.
        if answer["status"] in (200, 204):
            scheme, base = urlsplit(answer["url"]).scheme, place["base"]
            address = f"[{place['address']}]" if ":" in place["address"] else place["address"]
            url = f"{scheme}://{address}:{place['port']}{base}"
            return Target(url, place["name"], verify=False, queue=asked.through_queue)
        word = str(answer["status"]) if answer["status"] else "no answer"
        word += f" to {answer['location']}" if answer["location"] else ""
        said.append(f"{place['name']} at {place['address']}:{place['port']}: {word[:120]}")
    raise MatopsError(
        f"no tracker answers on this server ({'; '.join(said[:3]) or 'no site of it is found'})",
        state="Nothing was sent",
        next="is tracking on (tracking.on) and the web server up? --url names another address",
    )


def rehearse(run: Run) -> None:
    """Sends what records nothing: is the token taken, is its use noted, how long does it take?

    Calibrates the pace. Raises MatopsError, Refused: before the first batch.
    """
    client, mark = Client(run.target, run.timeout), run.mark()
    try:
        taken = []
        mark.arm(0)
        for _ in range(_PROBES):
            reply = client.post(mark.secret, [run.probe])
            if not reply.good and not (reply.picture and run.target.queue):
                raise MatopsError(
                    f"the tracker at {run.target.url} does not take a bulk request: {reply.shown}",
                    state="Nothing was sent",
                    next="see Matomo's and the web server's error log; --url names another one",
                )
            taken.append(reply.seconds)
        run.pace.calibrate(taken[1:])
        if mark.id and mark.used() is False:
            raise Refused(
                "Matomo takes our token, but does not note its use: after an error nobody "
                "could tell what was recorded",
                state="Nothing was sent",
                next="a plugin signs users in its own way? --token-file names a token of yours",
            )
    except (Lost, NotSent) as error:
        raise MatopsError(
            f"the tracker at {run.target.url} cannot be reached: {error}",
            state="Nothing was sent",
            next="is the web server up? --url names another address",
        ) from None
    finally:
        client.close()
        mark.drop()
        mark.close()
