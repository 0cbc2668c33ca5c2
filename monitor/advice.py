"""What to look at next: for each failure, what it usually means and the next thing to try, in both languages.

`{host}`, `{place}` (host:port) and `{address}` are filled in; a line that asks for something which the address does
not have is left out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from probes.model import Failure


class Advice(NamedTuple):
    """Lines for a person, one each."""

    vi: tuple[str, ...]
    en: tuple[str, ...]


_DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "redis": 6379, "ldap": 389, "ldaps": 636}

_REACH = "thongsuot probe icmp {host}"
_CONNECT = "thongsuot probe tcp {place}"
_PATH = "thongsuot probe path {host}"
_NAME = "thongsuot probe dns {host}"
_TLS = "thongsuot probe tls {place}"

ADVICE: Mapping[Failure, Advice] = {
    Failure.DNS_NXDOMAIN: Advice(
        ("tên không tồn tại: kiểm tra chính tả, rồi hỏi đơn vị quản lý tên miền", _NAME),
        ("the name does not exist: check its spelling, then ask whoever runs the zone", _NAME),
    ),
    Failure.DNS_SERVFAIL: Advice(
        (
            "máy chủ tên miền từ chối hoặc hỏng (cũng có thể do DNSSEC): thử hỏi máy chủ khác",
            _NAME,
        ),
        ("the name server refuses or is broken (DNSSEC, too): ask another one", _NAME),
    ),
    Failure.DNS_TIMEOUT: Advice(
        ("máy chủ tên miền không trả lời: kiểm tra /etc/resolv.conf và đường đến máy chủ đó",),
        ("the name server does not answer: look at /etc/resolv.conf and at the way to it",),
    ),
    Failure.DNS_ANSWER: Advice(
        ("tên có, nhưng không có bản ghi cần tìm: kiểm tra loại bản ghi (A, AAAA)",),
        ("the name exists, without the records that are wanted: look at their type (A, AAAA)",),
    ),
    Failure.NETWORK_UNREACHABLE: Advice(
        (
            "không có tuyến đến máy đích: xem ip route get, rồi bộ định tuyến đã báo lỗi",
            _PATH,
        ),
        ("there is no route: look at ip route get, then at the router that said so", _PATH),
    ),
    Failure.PACKET_LOSS: Advice(
        ("xem gói bị mất ở chặng nào; nhiều máy chặn ICMP, nên thử cả TCP", _PATH),
        ("see on which hop packets are lost; many hosts block ICMP, so try TCP too", _PATH),
    ),
    Failure.TTL_EXCEEDED: Advice(
        ("gói đi vòng: có thể lặp định tuyến", _PATH),
        ("packets go round: a routing loop is likely", _PATH),
    ),
    Failure.CONNECT_REFUSED: Advice(
        ("máy đích sống nhưng cổng này không có dịch vụ: đã chạy chưa? tường lửa từ chối (reject) cũng trông như thế",),
        ("the host is there, but nothing listens: is the service running? A rejecting firewall looks the same",),
    ),
    Failure.CONNECT_TIMEOUT: Advice(
        (
            "không ai trả lời: máy đích tắt, sai địa chỉ, hoặc tường lửa bỏ gói (drop)",
            _REACH,
            _PATH,
        ),
        (
            "nobody answers: the host is off, the address wrong, or a firewall drops",
            _REACH,
            _PATH,
        ),
    ),
    Failure.CONNECTION_RESET: Advice(
        ("kết nối bị cắt ngang: xem nhật ký dịch vụ; thiết bị trung gian (IPS, cân bằng tải) cũng gây ra việc này",),
        ("the connection was cut: see the service's log; a device in between (IPS, load balancer) does this as well",),
    ),
    Failure.CONNECTION_CLOSED: Advice(
        ("đầu kia đóng mà không trả lời: xem nhật ký dịch vụ, giới hạn số kết nối, danh sách địa chỉ được phép",),
        ("the peer hung up: see its log, its limit of connections, its list of allowed addresses",),
    ),
    Failure.TLS_HANDSHAKE: Advice(
        (
            "hai bên không thống nhất được TLS: phiên bản, bộ mã, hoặc máy chủ đòi chứng thư khách",
            _TLS,
        ),
        ("no common TLS: versions, ciphers, or the server wants a client certificate", _TLS),
    ),
    Failure.TLS_UNTRUSTED: Advice(
        ("chuỗi chứng thư không dẫn đến gốc tin cậy: thiếu chứng thư trung gian, hoặc cần ca_file của CA nội bộ",),
        ("the chain leads to no trusted root: an intermediate is missing, or ca_file must name the internal CA",),
    ),
    Failure.TLS_EXPIRED: Advice(
        ("gia hạn chứng thư; kiểm tra cả đồng hồ của máy này",),
        ("renew the certificate; look at this host's clock as well",),
    ),
    Failure.TLS_NAME: Advice(
        ("chứng thư của tên khác: hỏi sai tên (server_name), hoặc cân bằng tải đưa nhầm chứng thư",),
        ("the certificate is another name's: wrong server_name, or a balancer that shows the wrong one",),
    ),
    Failure.TLS_REQUIRED: Advice(
        ("máy chủ chưa bật TLS ở cổng này",),
        ("the server speaks no TLS there",),
    ),
    Failure.PROTOCOL: Advice(
        ("thứ trả lời không phải dịch vụ này: xem cổng, và proxy đứng giữa", _CONNECT),
        ("what answers is not this service: look at the port, and for a proxy in between", _CONNECT),
    ),
    Failure.HTTP_STATUS: Advice(
        ("5xx: lỗi ở dịch vụ hoặc phía sau nó; 4xx: đường dẫn, quyền, hoặc thông tin đăng nhập của phép đo",),
        ("5xx: the service or what is behind it; 4xx: path, rights or credentials of this check",),
    ),
    Failure.TOO_MANY_REDIRECTS: Advice(
        ("chuyển hướng vòng tròn: thường do http/https hoặc cookie đăng nhập",),
        ("redirects go round: http/https or a login cookie, as a rule",),
    ),
    Failure.BODY_TOO_LARGE: Advice(
        ("câu trả lời lớn hơn giới hạn: có đúng trang cần đo không? nếu đúng, tăng body_limit",),
        ("the answer is larger than allowed: is it the right page? If so, raise body_limit",),
    ),
    Failure.BODY_DECODE: Advice(
        ("nội dung hỏng hoặc sai mã hoá: xem proxy nén dữ liệu ở giữa",),
        ("the body is damaged or wrongly encoded: look for a compressing proxy in between",),
    ),
    Failure.SOAP_FAULT: Advice(
        ("dịch vụ SOAP trả lời bằng một lỗi: đọc mã và lý do, xem nhật ký của dịch vụ phía sau",),
        ("the SOAP service answers with a fault: read its code and reason, see the log of what is behind",),
    ),
    Failure.AUTH_REJECTED: Advice(
        ("đăng nhập bị từ chối: mật khẩu, hạn tài khoản, địa chỉ được phép, quyền tối thiểu (xem docs/probes)",),
        ("login refused: password, expiry of the account, allowed addresses, least privilege (see docs/probes)",),
    ),
    Failure.AUTH_TOKEN: Advice(
        ("không lấy được token: kiểm tra máy chủ cấp token, client_id, scope; bản thân dịch vụ chưa được hỏi",),
        ("no token was given: look at the token server, client id and scope; the service itself was not asked",),
    ),
    Failure.QUERY_FAILED: Advice(
        ("truy vấn bị máy chủ từ chối: đọc thông báo, kiểm tra quyền SELECT và tên bảng",),
        ("the server refused the query: read its words, check the right to SELECT and the table's name",),
    ),
    Failure.TIMEOUT: Advice(
        ("kết nối được nhưng trả lời không kịp: xem pha nêu trên; --timeout dài hơn cho biết là chậm hay treo",),
        ("it connects, but answers too late: look at the phase above; a longer --timeout tells slow from hung",),
    ),
    Failure.CONDITION: Advice(
        ("dịch vụ trả lời nhưng không như mong đợi: so giá trị thật với điều kiện ở trên",),
        ("the service answers, but not as it should: compare the value with the condition above",),
    ),
    Failure.STALE: Advice(
        ("dữ liệu cũ: xem công việc đồng bộ và sao chép đưa dữ liệu vào đây",),
        ("the data is old: look at the job or the replication that brings it here",),
    ),
    Failure.HEARTBEAT_MISSED: Advice(
        ("công việc không báo đã chạy: xem cron/hẹn giờ, và đường từ máy đó đến bộ giám sát",),
        ("the job did not say that it ran: look at its timer, and at the way from its host to the monitor",),
    ),
    Failure.HEARTBEAT_FAILED: Advice(
        ("công việc tự báo lỗi: đọc cuối nhật ký của nó",),
        ("the job itself reports an error: read the end of its log",),
    ),
    Failure.PERMISSION: Advice(
        ("máy này không được phép đo như vậy: xem quyền cần có trong docs/operation.md",),
        ("this host may not measure that: the privileges that it needs are in docs/operation.md",),
    ),
    Failure.AGENT_LOST: Advice(
        ("chưa đo được: nơi phải nghe hoặc đo chưa lên tiếng",),
        ("it could not be measured: whoever should have heard or measured it has not spoken",),
    ),
    Failure.INTERNAL: Advice(
        ("lỗi ở phía bộ giám sát, không phải ở đích: xem nhật ký",),
        ("the trouble is the monitor's own, not the target's: see its log",),
    ),
}


def next_steps(failure: Failure, address: str, language: str) -> Iterable[str]:
    """Yield what to look at next, one line each."""
    known = places_in(address)
    for line in ADVICE[failure].vi if language == "vi" else ADVICE[failure].en:
        wanted = re.findall(r"\{(\w+)\}", line)
        if all(known.get(name) for name in wanted):
            yield line.format_map({name: shlex.quote(value) for name, value in known.items()}) if wanted else line


def places_in(address: str) -> dict[str, str]:
    """Return `host` and `place` (host:port) as far as the address has them."""
    found = {"address": address}
    text = address if "://" in address else f"//{address}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return found
    if host and re.fullmatch(r"[\w.:%-]+", host):
        found["host"] = host
        if port:
            found["place"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return found
