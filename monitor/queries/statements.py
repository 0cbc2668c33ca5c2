"""Every statement that reads for pages and commands, named and described. They run as they are on both databases."""

from __future__ import annotations

from sqlalchemy import Integer, String, bindparam, text

META = text("SELECT name, value FROM meta WHERE name IN ('heartbeat_ms', 'inventory')")
"""How fresh everything is: the monitor's last sign of life, and when the inventory was last written."""

INVENTORY_META = text(
    "SELECT name, value FROM meta "
    "WHERE name IN ('timezone', 'language', 'simulated', 'rules', 'service_hours', 'holidays', 'loss')"
)
"""The rest of what the configuration says and pages need, as JSON."""

AGENCIES = text("SELECT id, name_vi, name_en FROM agencies WHERE removed_ms IS NULL ORDER BY position")
SITES = text("SELECT id, name_vi, name_en, province FROM sites WHERE removed_ms IS NULL ORDER BY position")

TARGETS = text(
    "SELECT id, type, name_vi, name_en, agency, site, criticality, service_hours, members, parents, objective, labels "
    "FROM targets WHERE removed_ms IS NULL ORDER BY position"
)
"""All targets of the configuration, in its order."""

CHECKS = text(
    "SELECT no, id, target, name, probe, address, interval_s FROM checks WHERE removed_ms IS NULL ORDER BY position"
)
"""All checks of the configuration, in its order."""

FIRST_RESULTS = text("SELECT id, first_ms FROM checks WHERE removed_ms IS NULL AND first_ms IS NOT NULL")
"""When each check was measured for the first time; imported history may bring this forward."""

FIRST_RESULTS_OF = text("SELECT id, first_ms FROM checks WHERE id IN :checks AND first_ms IS NOT NULL").bindparams(
    bindparam("checks", expanding=True, type_=String)
)
"""The same of some checks."""

TARGET_STATES = text("SELECT target, state, since_ms, flapping, reason FROM target_states")
TARGET_STATES_OF = text(TARGET_STATES.text + " WHERE target IN :targets").bindparams(
    bindparam("targets", expanding=True, type_=String)
)
"""What targets are now: all, or those."""

CHECK_STATES = text(
    "SELECT check_no, state, since_ms, last_at_ms, reason, message, latency_s, loss_ratio, spark FROM check_states"
)
"""What every check is now, without what only the core needs."""

CHECK_STATES_OF = text(CHECK_STATES.text + " WHERE check_no IN :numbers").bindparams(
    bindparam("numbers", expanding=True, type_=Integer)
)

# SQLite takes the tables of a CROSS JOIN in their order; left to itself it would walk through all transitions.
OPENING_TRANSITIONS = text(
    "WITH opened AS MATERIALIZED (SELECT c.id, (SELECT max(u.detected_ms) FROM transitions u "
    "WHERE u.kind = 'check' AND u.subject = c.id AND u.detected_ms < :start) AS last_ms "
    "FROM checks c WHERE c.removed_ms IS NULL) "
    "SELECT t.kind, t.subject, t.detected_ms, t.at_ms, t.before, t.after, t.reason "
    "FROM opened o CROSS JOIN transitions t "
    "WHERE t.kind = 'check' AND t.subject = o.id AND t.detected_ms = o.last_ms ORDER BY t.detected_ms, t.at_ms"
)
"""The last transition of each check that was known before `start`: one look into the key per check."""

LATER_TRANSITIONS = text(
    "SELECT kind, subject, detected_ms, at_ms, before, after, reason FROM transitions "
    "WHERE detected_ms >= :start AND at_ms < :end AND kind = 'check' ORDER BY detected_ms, at_ms"
)
"""Transitions of checks that say something about [start, end) and were not known before it."""

SEEN_TRANSITIONS = text(
    "SELECT count(*) AS number, coalesce(max(detected_ms), 0) AS last_ms FROM transitions "
    "WHERE detected_ms >= :start AND kind = 'check'"
)
"""How many transitions of checks became known since `start`, and when the last one did."""

_OPENED = (
    "WITH opened AS MATERIALIZED (SELECT c.id, coalesce((SELECT max(u.detected_ms) FROM transitions u "
    "WHERE u.kind = 'check' AND u.subject = c.id AND u.detected_ms < :start), 0) AS since_ms "
    "FROM checks c WHERE c.id IN :checks) "
)
_FROM_OPENED = (
    "FROM opened o CROSS JOIN transitions t "
    "WHERE t.kind = 'check' AND t.subject = o.id AND t.detected_ms >= o.since_ms AND t.at_ms < :end"
)

TRANSITIONS_OF_CHECKS = text(
    _OPENED + "SELECT t.kind, t.subject, t.detected_ms, t.at_ms, t.before, t.after, t.reason "
    f"{_FROM_OPENED} ORDER BY t.detected_ms, t.at_ms"
).bindparams(bindparam("checks", expanding=True, type_=String))
"""The two before together, of some checks: where each begins is looked up once, then its key is walked from there."""

STATES_OF_CHECKS = text(
    _OPENED + f"SELECT o.id, t.at_ms, t.after {_FROM_OPENED} ORDER BY o.id, t.detected_ms, t.at_ms"
).bindparams(bindparam("checks", expanding=True, type_=String))
"""The same without reasons, one check after the other."""

TRANSITIONS_OF = text(
    "SELECT kind, subject, detected_ms, at_ms, before, after, reason FROM transitions "
    "WHERE (kind = 'target' AND subject = :target) OR (kind = 'check' AND subject IN :checks) "
    "ORDER BY detected_ms DESC, at_ms DESC, kind, subject LIMIT :most"
).bindparams(bindparam("checks", expanding=True, type_=String))
"""Transitions of a target and its checks, newest first."""

TRANSITIONS = text(
    "SELECT kind, subject, detected_ms, at_ms, before, after, reason FROM transitions "
    "WHERE detected_ms >= :start AND detected_ms < :end "
    "ORDER BY detected_ms DESC, at_ms DESC, kind, subject LIMIT :most"
)
"""Transitions that became known in [start, end), newest first."""

_INCIDENT = (
    "SELECT i.id, i.target, i.severity, i.started_ms, i.opened_ms, i.reason, i.message, i.impact, i.phase, "
    "i.resolved_ms, i.announced, i.timeline FROM incidents i "
)
OPEN_INCIDENTS = text(_INCIDENT + "WHERE i.phase = 'open' ORDER BY i.severity, i.opened_ms DESC, i.id")
"""The open incidents, most severe first, then newest first."""

INCIDENTS = text(_INCIDENT + "ORDER BY i.opened_ms DESC, i.id DESC LIMIT :most")
"""All incidents, newest first."""

INCIDENTS_OF = text(
    _INCIDENT + "JOIN incident_targets t ON t.incident = i.id WHERE t.target = :target "
    "ORDER BY i.opened_ms DESC, i.id DESC LIMIT :most"
)
"""Incidents that a target caused or was hurt by, newest first."""

REVISIONS = text(
    "SELECT r.id, r.at_ms, c.id AS check_id, r.from_ms, r.to_ms, r.results, r.what FROM revisions r "
    "JOIN checks c ON c.no = r.check_no WHERE r.from_ms < :end AND r.to_ms > :start AND r.id > :after "
    "ORDER BY r.id LIMIT :most"
)
"""What late results have changed of [start, end), in the order in which it was changed."""

CLOSED_MONTHS = text("SELECT * FROM closed_months WHERE start_ms >= :start AND end_ms <= :end")
"""What was counted of whole months inside [start, end)."""

CLOSED_MONTHS_OF = text(CLOSED_MONTHS.text + " AND target IN :targets").bindparams(
    bindparam("targets", expanding=True, type_=String)
)
"""The same of some targets."""

LATE_CHANGES = text("SELECT check_id, from_ms, to_ms, times FROM late_changes WHERE from_ms < :end AND to_ms > :start")
"""Which stretches of the past were changed after the fact, and how often, as far as they touch [start, end)."""

SIGNED_PERIOD = text(
    "SELECT from_ms, to_ms, signed_ms, signed_by, digest FROM signed_periods WHERE from_ms = :start AND to_ms = :end"
)
SIGNED_FIGURES = text(
    "SELECT target, facts, figures FROM signed_figures WHERE from_ms = :start AND to_ms = :end ORDER BY position"
)
"""What was signed off of that very period."""

LOSS_OF_CHECKS = text(
    "SELECT check_no, start_ms - start_ms % :span AS at_ms, sum(loss_sum_ppm) AS loss_sum_ppm, "
    "sum(loss_count) AS loss_count FROM rollups_5m "
    "WHERE check_no IN :numbers AND start_ms >= :start AND start_ms < :end AND loss_count > 0 "
    "GROUP BY 1, 2 ORDER BY 1, 2"
).bindparams(bindparam("numbers", expanding=True, type_=Integer))
"""The packet loss of some checks in a window, added up over `span` milliseconds each, check by check, oldest first."""
