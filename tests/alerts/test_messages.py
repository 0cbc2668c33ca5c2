"""What a notification says."""

import pytest

from alerts.messages import IMPACT_SHOWN, Facts, render
from alerts.model import REDUNDANCY_LOST, Incident, IncidentPhase, Notification

AT = 1_790_000_000_000  # 21/09/2026 in Hà Nội


def facts(kind: str = "opened", language: str = "vi", **incident: object) -> Facts:
    values = {"severity": 1, "started_ms": AT, "opened_ms": AT + 20_000, "reason": "packet_loss", **incident}
    return Facts(
        notification=Notification(AT + 20_000, "SC-2026-0001", kind, "noc", ("link-cao-bang",)),
        incident=Incident(id="SC-2026-0001", target="link-cao-bang", **values),  # type: ignore[arg-type]
        names={"link-cao-bang": "Đường truyền cấp I Cao Bằng", "ndxp": "NDXP dân cư"},
        owner="Bộ Khoa học và Công nghệ",
        language=language,
        timezone="Asia/Ho_Chi_Minh",
        simulated=False,
    )


def test_an_opened_incident_in_vietnamese() -> None:
    message = render(facts(impact=("ndxp", "nameless"), message="loss_ratio > 0.2 (loss_ratio = 1)"), "k")
    assert message.subject == "Mức 1: Đường truyền cấp I Cao Bằng mất kết nối (SC-2026-0001)"
    assert "Thời điểm phát hiện (T0): 21/09/2026 21:13:40" in message.text
    assert "Phạm vi ảnh hưởng (2):\n  - NDXP dân cư\n  - nameless\n" in message.text
    assert message.data["started_at"] == "2026-09-21T14:13:20.000Z"
    assert message.data["impact"] == ["ndxp", "nameless"]


def test_the_cause_is_a_sentence_and_the_probes_own_line_comes_after_it() -> None:
    told = render(facts(reason="connect_timeout", message="no answer in time in connect"), "k").text
    assert "\nNguyên nhân: Quá thời gian chờ kết nối\nChi tiết kỹ thuật: no answer in time in connect\n" in told
    told = render(facts(language="en", reason="connect_timeout"), "k").text
    assert "\nCause: Connecting takes too long\nBegan: " in told, "without a line of a probe"


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("kind", ["opened", "worsened", "resolved"])
def test_every_kind_in_every_language(kind: str, language: str) -> None:
    resolved = {"phase": IncidentPhase.RESOLVED, "resolved_ms": AT + 3_723_000} if kind == "resolved" else {}
    message = render(facts(kind, language, **resolved), "k")
    assert message.subject.endswith("(SC-2026-0001)")
    assert "\n\n\n" not in message.text
    if kind == "resolved":
        assert ("1 giờ 2 phút" if language == "vi" else "1 h 2 min") in message.text


def test_lost_redundancy_is_not_a_lost_connection() -> None:
    assert "mất dự phòng" in render(facts(reason=REDUNDANCY_LOST), "k").subject


def test_a_long_impact_is_counted_not_listed() -> None:
    message = render(facts(impact=tuple(f"t{n}" for n in range(IMPACT_SHOWN + 5))), "k")
    assert "… và 5 đối tượng nữa" in message.text


def test_a_hostile_name_stays_one_line_in_the_subject() -> None:
    hostile = facts()
    names = {**hostile.names, "link-cao-bang": "x\r\nBcc: all@example.vn\n{{ 7*7 }}"}
    message = render(Facts(**{f: names if f == "names" else getattr(hostile, f) for f in Facts.__slots__}), "k")
    assert "\n" not in message.subject
    assert "\r" not in message.subject
    assert "49" not in message.text
