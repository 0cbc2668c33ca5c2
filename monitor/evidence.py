"""Evidence: which checks to run at once because another check of their target has just turned bad.

A kind that tells why others fail (`Probe.is_evidence`) is worth most at the moment of the failure: the route a minute
later may be another one. The first bad result of a target's other checks calls its evidence; one call is enough until
all of them are up again, and for `REST_S` at the least, so that a flapping target does not keep asking.

When much fails at once (a core router takes 3,000 links with it), evidence must not become a storm: `take` gives out
no more than `STARTS_PER_S`, those of the targets that failed first, and what has waited for `AGE_MAX_S` is no evidence
of the moment any more and is dropped. Its check then runs at its own interval, as ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from alerts.model import CheckState, Result, State
from monitor.jobs import Job

STARTS_PER_S: Final = 20.0
"""A trace is some 50 packets and 3 ms of CPU: this is a thousand packets a second and a sixteenth of a core."""
BURST: Final = 20
AGE_MAX_S: Final = 15.0
REST_S: Final = 60.0

_BAD: Final = frozenset({State.DOWN, State.DEGRADED})


class Evidence:
    """Collects calls for evidence, and gives them out at a bounded rate.

    Attributes:
        dropped: checks that were called and never given out, because too many were called at once.

    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._of_target: dict[str, tuple[str, ...]] = {}
        self._evidence: set[str] = set()
        self._failing: dict[str, set[str]] = {}
        self._rests_until: dict[str, float] = {}
        self._called: deque[tuple[float, str]] = deque()
        self._credit = float(BURST)
        self._credit_at = 0.0
        self.dropped = 0
        self.replace_jobs(jobs)

    def replace_jobs(self, jobs: Mapping[str, Job]) -> None:
        """Take other jobs; episodes of targets that still have evidence go on."""
        of_target: dict[str, list[str]] = {}
        for job in jobs.values():
            if job.is_evidence:
                of_target.setdefault(_target_of(job.id), []).append(job.id)
        self._of_target = {target: tuple(checks) for target, checks in of_target.items()}
        self._evidence = {check for checks in of_target.values() for check in checks}
        self._failing = {
            target: left
            for target, checks in self._failing.items()
            if target in of_target and (left := {check for check in checks if check in jobs})
        }
        self._rests_until = {target: at for target, at in self._rests_until.items() if target in of_target}

    def note(self, results: Iterable[Result], states: Mapping[str, CheckState], now_s: float) -> None:
        """Look at results, and at the states that their checks are in by now; `now_s` is on the monotonic clock."""
        if not self._of_target:
            return
        for result in results:
            if result.state is State.UP and not self._failing:
                continue
            target = _target_of(result.check)
            if target not in self._of_target or result.check in self._evidence:
                continue
            if result.state in _BAD:
                if target not in self._failing:
                    self._call(target, now_s)
                self._failing.setdefault(target, set()).add(result.check)
            elif (now := states.get(result.check)) is not None and now.state is State.UP is result.state:
                self._is_well(target, result.check)

    def take(self, now_s: float) -> list[str]:
        """Return the checks to run now."""
        self._credit = min(float(BURST), self._credit + (now_s - self._credit_at) * STARTS_PER_S)
        self._credit_at = now_s
        taken: list[str] = []
        while self._called:
            called_s, check = self._called[0]
            if now_s - called_s > AGE_MAX_S:
                self.dropped += 1
            elif self._credit >= 1:
                self._credit -= 1
                taken.append(check)
            else:
                break
            self._called.popleft()
        return taken

    def _is_well(self, target: str, check: str) -> None:
        failing = self._failing.get(target)
        if failing is not None:
            failing.discard(check)
            if not failing:
                del self._failing[target]

    def _call(self, target: str, now_s: float) -> None:
        if now_s < self._rests_until.get(target, now_s):
            return
        self._rests_until[target] = now_s + REST_S
        self._called.extend((now_s, check) for check in self._of_target[target])


def _target_of(check: str) -> str:
    return check.rpartition("/")[0]
