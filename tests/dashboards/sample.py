"""A country as the pages would be given it: plain views, built from the domain lists, the same at every call."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

from alerts.model import Incident, IncidentPhase, State, Subject, Transition
from dashboards.reading import StoreAwayError
from monitor.views import CheckPanel, Hop, Name, Overview, Point, Segment, TargetPage, TargetRow
from monitor.views import Path as Traced

DOMAIN = Path(__file__).parents[2] / "config" / "domain"
NOW_MS = 1_785_734_730_000
"""Monday 3 August 2026, 12:25:30 in Asia/Ho_Chi_Minh."""

TODAY_MS = NOW_MS - (12 * 3600 + 25 * 60 + 30) * 1000
ORDER = (State.DOWN, State.UNKNOWN, State.DEGRADED, State.UP)


def rows_of(name: str) -> list[dict[str, str]]:
    with (DOMAIN / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def row(identifier: str, vi: str, **values: object) -> TargetRow:
    """Return a target that is up, with what is given changed."""
    random = Random(identifier)
    latency = random.lognormvariate(-4.6, 0.9)
    spark = tuple(latency * random.lognormvariate(0, 0.12) for _ in range(60))
    plain = TargetRow(
        id=identifier,
        name=Name(vi, ""),
        type="link",
        agency="",
        site="hn",
        criticality=3,
        state=State.UP,
        since_ms=NOW_MS - random.randrange(3_600_000, 40 * 86_400_000),
        reason="",
        flapping=False,
        message="",
        in_maintenance=False,
        latency_s=spark[-1],
        loss_ratio=0.0,
        spark=spark,
        availability_today=1.0,
        outage_today=False,
        checks=1,
        members=0,
    )
    return plain._replace(**values)


def agencies() -> dict[str, Name]:
    named = {r["code"]: Name(r["name_vi"], r["name_en"]) for r in rows_of("ministries.csv")[:22]}
    for province in rows_of("provinces.csv"):
        full = province["full_name_vi"]
        named[f"UBND-{province['code']}"] = Name(
            f"Ủy ban nhân dân {full[0].lower()}{full[1:]}", f"People's Committee of {province['name_en']}"
        )
    return named


def country() -> list[TargetRow]:
    """Return about 250 targets: two channels and a gateway a province, the ministries' links and databases."""
    built = []
    for province in rows_of("provinces.csv"):
        code, vi, en = province["code"], province["name_vi"], province["name_en"]
        owner = f"UBND-{code}"
        built.append(
            row(
                f"link-{code}",
                "",
                type="group",
                agency=owner,
                members=2,
                checks=0,
                latency_s=None,
                loss_ratio=None,
                spark=(),
                name=Name(f"Đường truyền cấp I {vi}", f"Tier-I link {en}"),
            )
        )
        built += [
            row(
                f"link-{code}-{letter}",
                "",
                agency=owner,
                site=code,
                name=Name(f"{vi}, kênh {letter.upper()} về Hà Nội", f"{en}, channel {letter.upper()} to Ha Noi"),
            )
            for letter in "ab"
        ]
        built.append(row(f"lgsp-{code}", "", type="endpoint", agency=owner, name=Name(f"LGSP {vi}", f"LGSP {en}")))
    owners = {r["code"] for r in rows_of("ministries.csv")[:22]}
    for ministry in rows_of("ministries.csv")[:22]:
        code = ministry["code"]
        built += [
            row(
                f"link-{code}-{letter}",
                "",
                agency=code,
                name=Name(
                    f"{ministry['name_vi']}, kênh {letter.upper()}", f"{ministry['name_en']}, channel {letter.upper()}"
                ),
            )
            for letter in "ab"
        ]
    for database in rows_of("databases.csv")[:72]:
        owner = database["owner_code"] if database["owner_code"] in owners else "BCA"
        built.append(
            row(database["id"], "", type="connector", agency=owner, name=Name(database["name_vi"], database["name_en"]))
        )
    return built


def trouble(rows: list[TargetRow]) -> list[TargetRow]:
    """Return the country on a bad day: a province cut off, a slow gateway, an expired certificate, silence."""
    changes: dict[str, dict[str, object]] = {
        "link-04": {"state": State.DOWN, "reason": "packet_loss"},
        "link-04-a": {"state": State.DOWN, "reason": "packet_loss", "message": "5 of 5 packets lost"},
        "link-04-b": {"state": State.DOWN, "reason": "packet_loss", "message": "5 of 5 packets lost"},
        "lgsp-04": {"state": State.DOWN, "reason": "connect_timeout", "message": "no answer from 127.4.4.1:443"},
        "link-11": {"state": State.DEGRADED, "reason": "redundancy_lost"},
        "link-11-b": {"state": State.DOWN, "reason": "network_unreachable"},
        "lgsp-79": {"state": State.DEGRADED, "reason": "condition",
                    "message": "duration > duration('800ms') (duration = 1240ms)", "flapping": True},
        "DB002": {"state": State.DOWN, "reason": "tls_expired", "message": "certificate expired 2026-08-02 23:59:59Z"},
        "DB015": {"state": State.UNKNOWN, "reason": "no_results"},
        "DB020": {"state": State.DOWN, "reason": "stale", "message": "newest row is 7240s old (allowed: 3600s)"},
        "link-BTC-b": {"state": State.DOWN, "reason": "packet_loss", "in_maintenance": True},
    }  # fmt: skip
    changed = []
    for i, target in enumerate(rows):
        change = dict(changes.get(target.id, {}))
        if change:
            change |= {
                "since_ms": NOW_MS - (i * 7 % 90 + 1) * 61_000,
                "availability_today": 0.93215,
                "outage_today": True,
            }
            if change["state"] is State.DOWN:
                change |= {"latency_s": None, "loss_ratio": 1.0, "spark": target.spark[:42] + (None,) * 18}
        elif i % 17 == 0:
            change = {"availability_today": 0.99999, "outage_today": True}
            if target.spark:
                change["spark"] = (*target.spark[:20], None, *target.spark[21:])
        changed.append(target._replace(**change))
    return changed


def incidents() -> tuple[Incident, ...]:
    return (
        Incident("SC-2026-0042", "link-04", 1, NOW_MS - 754_000, NOW_MS - 740_000, "packet_loss", "5 of 5 packets lost",
                 ("link-04-a", "link-04-b", "lgsp-04")),
        Incident("SC-2026-0041", "DB002", 2, NOW_MS - 5_400_000, NOW_MS - 5_380_000, "tls_expired",
                 "certificate expired 2026-08-02 23:59:59Z", ("lgsp-79",)),
        Incident("SC-2026-0039", "link-11", 3, NOW_MS - 90_061_000, NOW_MS - 90_000_000, "redundancy_lost", "",
                 ("link-11-b",)),
    )  # fmt: skip


def overview(rows: list[TargetRow] | None = None, **values: object) -> Overview:
    """Return the overview of the given targets, of the country on a bad day by default."""
    targets = trouble(country()) if rows is None else rows
    ordered = sorted(targets, key=lambda r: (ORDER.index(r.state), r.criticality, r.name.vi))
    plain = Overview(
        now_ms=NOW_MS,
        heartbeat_ms=NOW_MS - 800,
        simulated=True,
        counts=Counter(r.state for r in targets),
        agencies=agencies(),
        rows=tuple(ordered),
        incidents=incidents() if rows is None else (),
    )
    return replace(plain, **values)


def many(count: int) -> list[TargetRow]:
    """Return a country of that many targets, one in fifty of them not up."""
    owners = list(agencies())
    states = {7: State.DOWN, 23: State.DEGRADED, 41: State.UNKNOWN}
    return [
        row(f"t-{i}", f"Đường truyền cấp II số {i}", agency=owners[i % len(owners)],
            state=states.get(i % 150, State.UP), reason="packet_loss" if i % 150 in states else "")
        for i in range(count)
    ]  # fmt: skip


def points(window_s: int = 3600, interval_s: int = 10, *, phases: bool = False) -> tuple[Point, ...]:
    """Return a window of results with a calm part, some loss, an outage and a silence."""
    random, made = Random(4), []
    names = {"resolve_s": 0.05, "connect_s": 0.2, "tls_s": 0.3, "first_byte_s": 0.4, "transfer_s": 0.05}
    for i in range(window_s // interval_s):
        share = i * interval_s / window_s
        at_ms = NOW_MS - window_s * 1000 + i * interval_s * 1000 + 137
        if 0.72 < share < 0.78:
            continue
        base = 0.018 + 0.004 * random.random() + (0.012 * random.random() if 0.3 < share < 0.45 else 0)
        loss = random.choice((0, 0.2, 0.2, 0.4, 0.8)) if 0.3 < share < 0.45 else 0.0
        lost = 0.5 < share < 0.58
        parts = {name: base * part for name, part in names.items()} if phases and not lost else {}
        made.append(
            Point(at_ms, None if lost else base, None if lost else base * 0.86, None if lost else base * 1.35,
                  None if phases else (1.0 if lost else loss), State.DOWN if lost else State.UP, parts, {})
        )  # fmt: skip
    return tuple(made)


def traced() -> Traced:
    """Return a path of five hops: one silent, one lossy, flows on two routes, and another router than before."""
    figures = ((0.0004, 0.0), (0.0021, 0.0), (None, 1.0), (0.0186, 1 / 3), (0.0191, 0.0))
    first = ("10.4.0.1", "10.9.1.7", "", "10.9.2.1", "127.4.4.1")
    second = ("10.4.0.1", "10.9.3.7", "", "10.9.2.1", "127.4.4.1")
    hosts = [tuple((host,) if host else () for host in pair) for pair in zip(first, second, strict=True)]
    return Traced(
        at_ms=NOW_MS - 4_000,
        routes=2,
        is_whole=True,
        changed_ms=NOW_MS - 754_000,
        hops=tuple(Hop(i + 1, hosts[i], ("10.8.0.9",) if i == 1 else (), *figure) for i, figure in enumerate(figures)),
    )


FIGURES: dict[str, object] = {
    "target": "link-04-a",
    "service_s": 2_592_000,
    "up_s": 2_590_000,
    "degraded_s": 0,
    "down_s": 1_815,
    "unknown_s": 185,
    "maintenance_s": 0,
    "availability": 0.99929974,
    "availability_with_maintenance": 0.9992,
    "coverage": 0.99993,
    "outages": 2,
    "longest_outage_s": 1_200,
    "mttr_s": 907,
    "mtbf_s": 1_295_000,
    "objective": 0.999,
    "met": True,
    "error_budget_left_s": 777,
}


def target_page(identifier: str = "lgsp-04", window_s: int = 3600, **values: object) -> TargetPage:
    """Return the page of a target that went through an outage and some loss."""
    rows = {r.id: r for r in trouble(country())}
    chosen = rows[identifier]
    start = NOW_MS - window_s * 1000
    cut = [start + round(window_s * 1000 * share) for share in (0.3, 0.45, 0.5, 0.58, 0.72, 0.78)]
    states = (State.UP, State.DEGRADED, State.UP, State.DOWN, State.UP, State.UNKNOWN, State.UP)
    reasons = ("", "condition", "", "packet_loss", "", "no_results", "")
    timeline = tuple(
        Segment(a, b, state, reason)
        for a, b, state, reason in zip([start, *cut], [*cut, NOW_MS], states, reasons, strict=True)
    )
    interval = max(10, window_s // 360)
    since = chosen.since_ms
    checks = tuple(
        CheckPanel(f"{identifier}/{name}", name, name, address, 10.0, chosen.state, since, chosen.reason,
                   chosen.message, NOW_MS - 4_000, points(window_s, interval, phases=name == "http"))
        for name, address in (("icmp", "127.4.4.1"), ("http", "https://lgsp.caobang.example/health"))
    )  # fmt: skip
    transitions = tuple(
        Transition(kind, subject, before, after, at, at + 21_000, reason)
        for kind, subject, before, after, at, reason in (
            (Subject.TARGET, identifier, State.UP, State.DOWN, cut[2], "packet_loss"),
            (Subject.CHECK, f"{identifier}/icmp", State.UP, State.DOWN, cut[2], "packet_loss"),
            (Subject.CHECK, f"{identifier}/http", State.UP, State.DEGRADED, cut[0], "condition"),
            (Subject.TARGET, identifier, State.UNKNOWN, State.UP, start - 86_400_000, ""),
        )
    )
    past = replace(incidents()[0], id="SC-2026-0017", phase=IncidentPhase.RESOLVED, resolved_ms=NOW_MS - 90_000_000,
                   started_ms=NOW_MS - 93_600_000, reason="connect_timeout", target=identifier)  # fmt: skip
    plain = TargetPage(
        now_ms=NOW_MS,
        heartbeat_ms=NOW_MS - 800,
        simulated=True,
        row=chosen,
        agency_name=agencies().get(chosen.agency, Name("", "")),
        site_name=Name("Hà Nội", "Ha Noi"),
        from_ms=start,
        to_ms=NOW_MS,
        timeline=timeline,
        checks=checks,
        members=(rows["link-04-a"], rows["link-04-b"]),
        parents=(rows["link-04"],),
        transitions=transitions,
        incidents=(incidents()[0], past),
        availability={"today": {**FIGURES, "availability": 0.93215, "outages": 3, "down_s": 3035, "met": False},
                      "30d": dict(FIGURES)},
    )  # fmt: skip
    return replace(plain, **values)


class SampleReading:
    """A reading door over a country in memory; tests change what is behind it.

    Attributes:
        shown: what the overview is.
        pages: target pages by id.
        away: the store cannot be read.
        asked: how often the overview was read.

    """

    def __init__(self) -> None:
        self.shown = overview()
        self.pages = {"lgsp-04": target_page()}
        self.away = False
        self.asked = 0

    async def overview(self, now_ms: int) -> Overview:
        self._answerable()
        self.asked += 1
        return self.shown

    async def target_page(self, target: str, now_ms: int, window_s: int) -> TargetPage | None:
        self._answerable()
        return self.pages.get(target)

    async def aclose(self) -> None:
        self.away = True

    def _answerable(self) -> None:
        if self.away:
            raise StoreAwayError("the sample store is away")
