"""Every sentence that the pages say, in Vietnamese and in English.

The Vietnamese words are those of `config/domain/glossary.csv`. What comes from outside (names, messages, ids) is
never wording: it is shown as it is, escaped.
"""

from __future__ import annotations

from collections.abc import Mapping

from alerts.model import State
from alerts.wording import PHASES, REASONS, STATES
from dashboards.formats import Language

_TYPES: Mapping[str, tuple[str, str]] = {
    "type.link": ("Đường truyền", "Link"),
    "type.endpoint": ("Điểm cuối", "Endpoint"),
    "type.connector": ("Bộ kết nối", "Connector"),
    "type.group": ("Nhóm", "Group"),
}

_INCIDENTS: Mapping[str, tuple[str, str]] = {
    "phase.open": ("Đang mở", "Open"),
    "phase.resolved": ("Đã khắc phục", "Resolved"),
}

_PAGES: Mapping[str, tuple[str, str]] = {
    "product": ("Thông Suốt", "Thông Suốt"),
    "overview": ("Tổng quan", "Overview"),
    "not_found.title": ("Không có trang này", "There is no such page"),
    "not_found.text": (
        "Địa chỉ có thể đã gõ sai hoặc trang đã bị bỏ.",
        "The address may be mistyped, or the page gone.",
    ),
    "back": ("Về trang tổng quan", "Back to the overview"),
    "skip": ("Tới nội dung chính", "Skip to the content"),
    "no_script": ("Trang này cần JavaScript để hiện số liệu.", "This page needs JavaScript to show its figures."),
    "severity": ("Mức {level}", "Severity {level}"),
    "level": ("Mức {level}", "Level {level}"),
    "since": ("từ {time}", "since {time}"),
    "next": ("Xem tiếp: {step}", "Look next: {step}"),
    "impact": ("Ảnh hưởng {count} mục tiêu khác", "Hurts {count} more targets"),
    "impact.one": ("Ảnh hưởng 1 mục tiêu khác", "Hurts 1 more target"),
    "impact.none": ("Không ảnh hưởng mục tiêu khác", "Hurts no other target"),
    "more": ("và {count} nữa", "and {count} more"),
    "members": ("{count} thành viên", "{count} members"),
    "never": ("chưa từng", "never"),
    "no_owner": ("Chưa rõ cơ quan chủ quản", "No owner on record"),
    "availability_today": ("Sẵn sàng hôm nay", "Available today"),
    "flapping": ("chập chờn", "flapping"),
    "maintenance": ("đang bảo trì", "under maintenance"),
    "outage": ("Gián đoạn", "Downtime"),
    "figure.band": ("Nhỏ nhất – lớn nhất", "Least to greatest"),
    "figure.mean": ("Độ trễ", "Latency"),
    "figure.loss": ("Mất gói", "Loss"),
    "figure.failed": ("Lần đo hỏng", "Failed run"),
    "figure.lossless": ("Không mất gói", "No loss"),
    "figure.up_to": ("Mất tới {share}", "Loss up to {share}"),
    "figure.beyond": ("Mất trên {share}", "Loss above {share}"),
    "figure.no_latency": (
        "Không có lần đo nào được trả lời trong khoảng này",
        "No run was answered in this period",
    ),
    "figure.empty": ("Chưa có số liệu trong khoảng này", "There is no data in this period"),
}

_WALL: Mapping[str, tuple[str, str]] = {
    "wall.title": ("Tổng quan", "Overview"),
    "wall.incidents": ("Sự cố đang mở", "Open incidents"),
    "wall.no_incidents": ("Không có sự cố đang mở", "No open incidents"),
    "wall.not_up": ("Chưa hoạt động bình thường", "Not up"),
    "wall.all_up": ("Mọi mục tiêu đều hoạt động bình thường", "Every target is up"),
    "wall.no_targets": ("Chưa có mục tiêu nào được cấu hình", "No targets are configured"),
    "wall.no_match": ("Không có mục tiêu nào khớp bộ lọc", "No target matches the filter"),
    "wall.targets": ("Mục tiêu theo cơ quan", "Targets by agency"),
    "wall.filter": ("Bộ lọc", "Filter"),
    "wall.search": ("Tìm theo tên, mã, cơ quan…", "Search by name, id, agency…"),
    "wall.search_key": ("Nhấn / để tìm", "Press / to search"),
    "wall.any_state": ("Mọi tình trạng", "Any state"),
    "wall.not_up_only": ("Chưa bình thường", "Not up"),
    "wall.any_type": ("Mọi loại", "Any type"),
    "wall.clear": ("Xóa lọc", "Clear"),
    "wall.legend": ("Độ trễ gần đây · độ trễ · sẵn sàng hôm nay", "Recent latency · latency · available today"),
    "wall.continued": ("(tiếp)", "(cont.)"),
    "wall.more": ("và {count} nữa", "and {count} more"),
}

_LIVE: Mapping[str, tuple[str, str]] = {
    "live.product": ("Thông Suốt", "Thông Suốt"),
    "live.counts": ("Số mục tiêu theo tình trạng", "Targets by state"),
    "live.simulated": ("DỮ LIỆU MÔ PHỎNG", "SIMULATED DATA"),
    "live.loading": ("Đang tải số liệu…", "Loading…"),
    "live.heartbeat": ("Số liệu cách đây {age} giây", "Data is {age} s old"),
    "live.fresh": ("Trực tiếp", "Live"),
    "live.stale": ("Số liệu đã cũ {age}", "The data is {age} old"),
    "live.monitor_silent": (
        "Bộ giám sát không ghi số liệu mới. Tình trạng dưới đây có thể không còn đúng.",
        "The monitor writes no new data. What is shown below may no longer be true.",
    ),
    "live.web_away": (
        "Không liên lạc được với máy chủ web. Đang thử lại; tình trạng dưới đây có thể không còn đúng.",
        "The web server cannot be reached. Trying again; what is shown below may no longer be true.",
    ),
    "live.store_away": (
        "Kho số liệu không truy cập được. Trang sẽ tự hiện lại khi kho hoạt động.",
        "The data store cannot be reached. The page comes back by itself when the store does.",
    ),
    "live.broken": (
        "Máy chủ web gặp lỗi khi đọc số liệu. Đang thử lại.",
        "The web server failed to read the data. Trying again.",
    ),
    "live.never_written": (
        "Bộ giám sát chưa ghi số liệu nào. Hãy kiểm tra xem bộ giám sát đã chạy chưa.",
        "The monitor has not written anything yet. Check that it is running.",
    ),
    "live.unknown_target": ("Không có mục tiêu này", "There is no such target"),
    "live.unknown_target_text": (
        "Mục tiêu “{target}” không có trong cấu hình, hoặc đã bị bỏ.",
        "The target “{target}” is not in the configuration, or was removed.",
    ),
    "live.back": ("Về trang tổng quan", "Back to the overview"),
    "live.clock": ("Giờ hiện tại", "Current time"),
    "live.zone": ("Mọi thời điểm theo giờ {zone}", "All times are those of {zone}"),
    "live.language": ("English", "Tiếng Việt"),
    "live.language_label": ("Chuyển sang tiếng Anh", "Switch to Vietnamese"),
    "live.dark": ("Giao diện tối", "Dark theme"),
    "live.light": ("Giao diện sáng", "Light theme"),
    "live.seconds": ("{count} giây", "{count} s"),
    "live.minutes": ("{count} phút", "{count} min"),
    "live.hours": ("{count} giờ", "{count} h"),
    "live.days": ("{count} ngày", "{count} d"),
}

_TARGET: Mapping[str, tuple[str, str]] = {
    "target.agency": ("Cơ quan chủ quản", "Owner"),
    "target.site": ("Địa điểm", "Site"),
    "target.type": ("Loại", "Type"),
    "target.criticality": ("Mức độ quan trọng", "Criticality"),
    "target.objective": ("Cam kết sẵn sàng", "Availability objective"),
    "target.id": ("Mã", "Id"),
    "target.lasting": ("trong {span}", "for {span}"),
    "target.window": ("Khoảng thời gian", "Period"),
    "target.window.3600": ("1 giờ", "1 h"),
    "target.window.21600": ("6 giờ", "6 h"),
    "target.window.86400": ("24 giờ", "24 h"),
    "target.window.604800": ("7 ngày", "7 days"),
    "target.window.2592000": ("30 ngày", "30 days"),
    "target.window.31536000": ("365 ngày", "365 days"),
    "target.months": ("Tỷ lệ sẵn sàng theo tháng", "Availability by month"),
    "target.month": ("Tháng", "Month"),
    "target.objective_short": ("Cam kết", "Objective"),
    "target.timeline": ("Diễn biến tình trạng", "State over time"),
    "target.checks": ("Phép đo", "Checks"),
    "target.no_checks": ("Mục tiêu này không có phép đo riêng.", "This target has no checks of its own."),
    "target.latency": ("Độ trễ và mất gói", "Latency and loss"),
    "target.phases": ("Các giai đoạn của lần đo", "Phases of a run"),
    "target.phases_note": (
        "Các giai đoạn của từng lần đo: xem ở khoảng 1 giờ.",
        "The phases of single runs are shown over 1 h.",
    ),
    "target.every": ("chu kỳ {span}", "every {span}"),
    "target.last": ("đo lần cuối {time}", "last run {time}"),
    "target.transitions": ("Các lần đổi tình trạng", "Changes of state"),
    "target.no_transitions": ("Chưa có lần đổi tình trạng nào.", "No change of state is on record."),
    "target.incidents": ("Sự cố", "Incidents"),
    "target.no_incidents": ("Chưa có sự cố nào.", "No incidents are on record."),
    "target.members": ("Thành viên", "Members"),
    "target.parents": ("Phụ thuộc vào", "Depends on"),
    "target.today": ("Hôm nay", "Today"),
    "target.30d": ("30 ngày qua", "Last 30 days"),
    "target.availability": ("Tỷ lệ sẵn sàng", "Availability"),
    "target.coverage": ("Độ phủ số liệu", "Coverage"),
    "target.outages": ("Số lần gián đoạn", "Outages"),
    "target.downtime": ("Thời gian ngừng hoạt động", "Downtime"),
    "target.longest": ("Lần dài nhất", "Longest"),
    "target.met": ("Đạt cam kết {objective}", "Meets {objective}"),
    "target.missed": ("Không đạt cam kết {objective}", "Misses {objective}"),
    "target.nothing_known": ("Chưa có số liệu", "Nothing was measured"),
    "target.when": ("Thời điểm", "When"),
    "target.subject": ("Đối tượng", "Subject"),
    "target.change": ("Thay đổi", "Change"),
    "target.reason": ("Nguyên nhân", "Reason"),
    "target.detected": ("Phát hiện lúc", "Detected"),
    "target.itself": ("Mục tiêu", "Target"),
    "target.this": ("Chính mục tiêu này", "This target"),
    "target.incident": ("Sự cố", "Incident"),
    "target.severity": ("Mức độ", "Severity"),
    "target.status": ("Tình trạng", "Status"),
    "target.cause": ("Nguyên nhân gốc", "Root cause"),
    "target.duration": ("Kéo dài", "Lasted"),
    "target.name": ("Tên", "Name"),
    "target.latency_short": ("Độ trễ", "Latency"),
    "target.more": ("và {count} nữa", "and {count} more"),
}

_PATH: Mapping[str, tuple[str, str]] = {
    "path.title": ("Các chặng trên đường đi, lúc {time}", "Hops on the way, at {time}"),
    "path.hop": ("Chặng", "Hop"),
    "path.address": ("Địa chỉ", "Address"),
    "path.route": ("Địa chỉ, tuyến {number}", "Address, route {number}"),
    "path.rtt": ("Độ trễ nhỏ nhất", "Least RTT"),
    "path.loss": ("Mất gói", "Loss"),
    "path.silent": ("không trả lời", "silent"),
    "path.before": ("trước đó là {hosts}", "was {hosts}"),
    "path.changed": ("Tuyến đổi lúc {time}", "The route changed at {time}"),
    "path.broken": (
        "Đích không trả lời: đường đi dừng ở chặng cuối trong bảng.",
        "The destination does not answer: the path ends at the last hop shown.",
    ),
    "path.more_routes": ("và {count} tuyến nữa", "and {count} more routes"),
    "path.note": (
        "Mất gói ở một chặng giữa mà đích không mất: thiết bị đó ít trả lời, không phải lỗi.",
        "Loss at a hop without loss at the destination: that router answers seldom, which is no fault.",
    ),
}

_FIGURES: Mapping[str, tuple[str, str]] = {
    "figure_of.duration": ("trả lời sau {value}", "answered after {value}"),
    "figure_of.resolve_s": ("phân giải tên mất {value}", "name lookup takes {value}"),
    "figure_of.connect_s": ("kết nối mất {value}", "connecting takes {value}"),
    "figure_of.tls_s": ("bắt tay TLS mất {value}", "TLS handshake takes {value}"),
    "figure_of.transfer_s": ("truyền tải mất {value}", "transfer takes {value}"),
    "figure_of.first_byte_s": ("byte đầu sau {value}", "first byte after {value}"),
    "figure_of.login_s": ("đăng nhập mất {value}", "sign-in takes {value}"),
    "figure_of.query_s": ("truy vấn mất {value}", "query takes {value}"),
    "figure_of.rtt_mean_s": ("độ trễ trung bình {value}", "mean round trip {value}"),
    "figure_of.rtt_max_s": ("độ trễ lớn nhất {value}", "greatest round trip {value}"),
    "figure_of.loss_ratio": ("mất gói {value}", "loss {value}"),
    "figure_of.cert.expires_in": ("chứng thư số còn hạn {value}", "certificate expires in {value}"),
    "figure_of.status": ("mã {value}", "status {value}"),
    "figure_of.hops": ("{value} chặng", "{value} hops"),
    "figure_of.in_utilisation_ratio": ("chiều vào dùng {value}", "inbound use {value}"),
    "figure_of.out_utilisation_ratio": ("chiều ra dùng {value}", "outbound use {value}"),
    "figure_of.connections_ratio": ("dùng {value} số kết nối", "{value} of connections in use"),
    "figure_of.disk_used_ratio": ("đĩa đã dùng {value}", "disk use {value}"),
    "figure_of.memory_ratio": ("bộ nhớ đã dùng {value}", "memory use {value}"),
    "figure_of.cpu_ratio": ("bộ xử lý dùng {value}", "processor use {value}"),
    "figure_of.backup_age_s": ("bản sao lưu đã cũ {value}", "backup is {value} old"),
}

WORDS: Mapping[str, tuple[str, str]] = {
    **_TYPES,
    **{f"state.{state.value}": words for state, words in STATES.items()},
    **{f"reason.{reason}": words for reason, words in REASONS.items()},
    **{f"phase.{phase}": words for phase, words in PHASES.items()},
    **_INCIDENTS,
    **_PAGES,
    **_WALL,
    **_LIVE,
    **_TARGET,
    **_PATH,
    **_FIGURES,
}
"""Vietnamese and English by key."""


def say(key: str, language: Language, **values: object) -> str:
    """Return the wording of `key`, with `{name}` replaced by `values`.

    Raises KeyError for a key that nobody has written: a page must not invent words.
    """
    vietnamese, english = WORDS[key]
    text = english if language == "en" else vietnamese
    return text.format(**values) if values else text


def state_in_words(state: State, language: Language) -> str:
    """Return the state's name."""
    return say(f"state.{state.value}", language)


def group(prefix: str, language: Language) -> dict[str, str]:
    """Return the wordings whose keys begin with `prefix.`, by the rest of the key, for the browser's part."""
    start = f"{prefix}."
    return {key.removeprefix(start): say(key, language) for key in WORDS if key.startswith(start)}
