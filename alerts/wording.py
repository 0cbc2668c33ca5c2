"""The words that pages, notifications and the command line share, in Vietnamese and in English: their one home.

What a reason for a state that is not up means is a sentence here. It is said first, and after it the probe's own
line, which is English and technical.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alerts.model import NO_RESULTS, REDUNDANCY_LOST, State
from probes.model import Failure, Layer


class Said(NamedTuple):
    """A sentence in the languages that we speak."""

    vi: str
    en: str


STATES: Mapping[State, Said] = {
    State.UP: Said("Bình thường", "Normal"),
    State.DEGRADED: Said("Suy giảm", "Degraded"),
    State.DOWN: Said("Ngừng hoạt động", "Down"),
    State.UNKNOWN: Said("Không xác định", "Unknown"),
}

REASONS: Mapping[str, Said] = {
    Failure.DNS_NXDOMAIN: Said("Tên miền không tồn tại", "The name does not exist"),
    Failure.DNS_SERVFAIL: Said("Máy chủ tên miền báo lỗi", "The name server reports a failure"),
    Failure.DNS_TIMEOUT: Said("Máy chủ tên miền không trả lời", "The name server does not answer"),
    Failure.DNS_ANSWER: Said("Tên miền trả về kết quả không đúng", "The name server gives a wrong answer"),
    Failure.NETWORK_UNREACHABLE: Said("Không có đường mạng tới đích", "There is no route to the destination"),
    Failure.PACKET_LOSS: Said("Mất gói vượt ngưỡng", "Packet loss is beyond its threshold"),
    Failure.TTL_EXCEEDED: Said("Gói tin quẩn vòng trên mạng", "Packets go round in circles"),
    Failure.CONNECT_REFUSED: Said("Kết nối bị từ chối", "The connection is refused"),
    Failure.CONNECT_TIMEOUT: Said("Quá thời gian chờ kết nối", "Connecting takes too long"),
    Failure.CONNECTION_RESET: Said("Kết nối bị ngắt đột ngột", "The connection is reset"),
    Failure.CONNECTION_CLOSED: Said("Kết nối bị đóng khi chưa trả lời", "The connection is closed without an answer"),
    Failure.TLS_HANDSHAKE: Said("Không bắt tay TLS được", "The TLS handshake fails"),
    Failure.TLS_UNTRUSTED: Said("Chứng thư số không đáng tin cậy", "The certificate is not trusted"),
    Failure.TLS_EXPIRED: Said("Chứng thư số đã hết hạn", "The certificate has expired"),
    Failure.TLS_NAME: Said("Chứng thư số không đúng tên", "The certificate is for another name"),
    Failure.TLS_REQUIRED: Said("Kết nối không được mã hóa TLS", "The connection is not encrypted"),
    Failure.PROTOCOL: Said("Trả lời sai giao thức", "The answer breaks the protocol"),
    Failure.HTTP_STATUS: Said("Mã trạng thái HTTP không được chấp nhận", "The HTTP status is not accepted"),
    Failure.TOO_MANY_REDIRECTS: Said("Chuyển hướng quá nhiều lần", "There are too many redirects"),
    Failure.BODY_TOO_LARGE: Said("Nội dung trả lời quá lớn", "The answer is too large"),
    Failure.BODY_DECODE: Said("Không giải mã được nội dung trả lời", "The answer cannot be decoded"),
    Failure.SOAP_FAULT: Said("Dịch vụ trả về lỗi SOAP", "The service answers with a SOAP fault"),
    Failure.AUTH_REJECTED: Said("Đăng nhập bị từ chối", "The credentials are rejected"),
    Failure.AUTH_TOKEN: Said("Không lấy được mã truy cập", "No access token could be obtained"),
    Failure.QUERY_FAILED: Said("Câu truy vấn bị lỗi", "The query fails"),
    Failure.TIMEOUT: Said("Quá thời gian chờ trả lời", "The answer takes too long"),
    Failure.CONDITION: Said("Vi phạm điều kiện kiểm tra", "A configured condition is violated"),
    Failure.STALE: Said("Dữ liệu không còn mới", "The data is stale"),
    Failure.HEARTBEAT_MISSED: Said("Không nhận được tín hiệu định kỳ", "The expected heartbeat is missing"),
    Failure.HEARTBEAT_FAILED: Said("Tác vụ định kỳ báo thất bại", "The job reports that it failed"),
    Failure.PERMISSION: Said("Bộ giám sát không đủ quyền để đo", "The monitor lacks the permission to measure"),
    Failure.AGENT_LOST: Said("Mất liên lạc với điểm đo", "The agent is lost"),
    Failure.INTERNAL: Said("Lỗi nội bộ của bộ giám sát", "The monitor has an internal error"),
    REDUNDANCY_LOST: Said("Mất dự phòng", "Redundancy is lost"),
    NO_RESULTS: Said("Không có kết quả đo", "There are no results"),
}
"""What a state that is not up comes from: by failure, `redundancy_lost` and `no_results`."""

LAYERS: Mapping[Layer, Said] = {
    Layer.NAME: Said("tên miền", "name"),
    Layer.NETWORK: Said("mạng", "network"),
    Layer.TRANSPORT: Said("kết nối", "transport"),
    Layer.TLS: Said("mã hóa TLS", "tls"),
    Layer.APPLICATION: Said("ứng dụng", "application"),
    Layer.DATA: Said("dữ liệu", "data"),
    Layer.SELF: Said("bộ giám sát", "self"),
}
"""Where on the way to an answer a failure lies."""

PHASES: Mapping[str, Said] = {
    "resolve_s": Said("Phân giải tên", "Name lookup"),
    "connect_s": Said("Kết nối", "Connect"),
    "tls_s": Said("Bắt tay TLS", "TLS handshake"),
    "first_byte_s": Said("Chờ byte đầu", "First byte"),
    "transfer_s": Said("Truyền tải", "Transfer"),
    "login_s": Said("Đăng nhập", "Sign-in"),
    "query_s": Said("Truy vấn", "Query"),
    "dialogue_s": Said("Hội thoại", "Dialogue"),
    "proxy_s": Said("Qua máy chủ trung gian", "Proxy"),
    "token_s": Said("Lấy mã truy cập", "Access token"),
    "hello_s": Said("Chào hỏi", "Greeting"),
    "prelogin_s": Said("Trước đăng nhập", "Before sign-in"),
    "upgrade_s": Said("Nâng cấp giao thức", "Protocol upgrade"),
    "details_s": Said("Số liệu máy chủ", "Server figures"),
    "in_step_s": Said("Đối chiếu dữ liệu", "Comparison"),
    "search_s": Said("Tìm kiếm", "Search"),
    "ping_s": Said("Hỏi đáp", "Ping"),
}
"""What a run spends its time on, by the name of the sample."""


def reason_in_words(reason: str, language: str) -> str:
    """Return the sentence for a failure, `redundancy_lost` or `no_results`; a newer monitor's reason as it is."""
    said = REASONS.get(reason)
    return reason if said is None else in_language(said, language)


def in_language(said: Said, language: str) -> str:
    """Return the Vietnamese words, or for any other language the English ones."""
    return said.vi if language == "vi" else said.en
