"""Why something is not up: a sentence, and the figure behind it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.causes import cause_in_words
from dashboards.formats import Formats
from probes.model import Failure

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
VI, EN = Formats("vi", ZONE), Formats("en", ZONE)


@pytest.mark.parametrize(
    ("reason", "message", "vi", "en"),
    [
        (
            "condition",
            "rtt_mean_s > 0.08 (rtt_mean_s = 0.114182)",
            "Vi phạm điều kiện kiểm tra: độ trễ trung bình 114\u00a0ms",
            "A configured condition is violated: mean round trip 114\u00a0ms",
        ),
        (
            "condition",
            "duration > duration('800ms') (duration = 1.234s)",
            "Vi phạm điều kiện kiểm tra: trả lời sau 1.234\u00a0ms",
            "A configured condition is violated: answered after 1,234\u00a0ms",
        ),
        (
            "condition",
            "cert.expires_in < duration('720h') (cert.expires_in = 52h)",
            "Vi phạm điều kiện kiểm tra: chứng thư số còn hạn 2\u00a0ngày\u00a04\u00a0giờ",
            "A configured condition is violated: certificate expires in 2\u00a0d\u00a04\u00a0h",
        ),
        (
            "condition",
            "loss_ratio > 0.05 && hops > 8 (loss_ratio = 0.125, hops = 9)",
            "Vi phạm điều kiện kiểm tra: mất gói 12%, 9 chặng",
            "A configured condition is violated: loss 12%, 9 hops",
        ),
        (
            "http_status",
            "status not in [2xx] (status = 503)",
            "Mã trạng thái HTTP không được chấp nhận: mã 503",
            "The HTTP status is not accepted: status 503",
        ),
        ("timeout", "no answer in time in first_byte", "Quá thời gian chờ trả lời", "The answer takes too long"),
        (
            "condition",
            'json.status != "UP" (json.status = "DOWN")',
            *["Vi phạm điều kiện kiểm tra"] * 1,
            "A configured condition is violated",
        ),
        ("", "the route is 10.0.0.1", "", ""),
    ],
)
def test_a_figure_with_words_ends_the_sentence_and_others_stay_in_the_probes_line(reason, message, vi, en):
    assert cause_in_words(reason, message, VI) == vi
    assert cause_in_words(reason, message, EN) == en


@given(st.sampled_from(list(Failure)), st.text(max_size=300))
def test_whatever_a_peer_makes_a_line_say_the_sentence_stands(failure, message):
    assert cause_in_words(failure, message, VI).startswith(cause_in_words(failure, "", VI))


@pytest.mark.parametrize("value", ["1e999", "9" * 180, "-1e300h", "nan"])
def test_a_figure_that_makes_no_sense_is_left_in_the_line(value):
    assert cause_in_words("soap_fault", f"fault (duration = {value})", VI) == "Dịch vụ trả về lỗi SOAP"
