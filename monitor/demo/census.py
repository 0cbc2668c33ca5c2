"""Which gateways, endpoints and databases the country has. Numbers and owners refer to the domain data.

Who is connected how, where, and over what is invented. The names of databases come from the domain data.
"""

from __future__ import annotations

from typing import NamedTuple

FIRST_PROVINCES = ("01", "04", "15", "66", "92", "96", "48", "79", "22", "38")
"""Provinces that a smaller country keeps: those with a part in the first cycle of the script."""

TWO_CHANNELS = ("ministry", "ministry_level")
ONE_CHANNEL = ("government_agency", "state_organ", "party", "political_social")


class Gateway(NamedTuple):
    """A gateway: id, names, owner, province, whether it stands behind its owner's link, and its group."""

    id: str
    vi: str
    en: str
    owner: str
    province: str = "01"
    behind_link: bool = True
    group: str = ""


class Endpoint(NamedTuple):
    """A platform's endpoint: id, names, owner, host (its own when ""), what it speaks, TLS, median time."""

    id: str
    vi: str
    en: str
    owner: str
    host: str
    speaks: str
    tls: bool = True
    median_s: float = 0.045


class Database(NamedTuple):
    """A database and the gateway that it is reached over: number, id without `csdl-`, gateway, what is spoken."""

    number: str
    slug: str
    gateway: str
    speaks: str
    criticality: int = 3


NDXP = "gw-ndxp"
"""The group of the two NDXP gateways, of which one is enough; what is behind it stands on a host of its own."""
NDXP_HOST = "ndxp"

GATEWAYS = (
    Gateway("gw-ndxp-1", "Cổng NDXP, nút 1", "NDXP gateway, node 1", "BKHCN", behind_link=False, group=NDXP),
    Gateway("gw-ndxp-2", "Cổng NDXP, nút 2", "NDXP gateway, node 2", "BKHCN", "48", behind_link=False, group=NDXP),
    Gateway("gw-ndop", "Cổng NDOP", "NDOP gateway", "BCA", behind_link=False),
    Gateway("gw-dan-cu", "Cổng kết nối CSDL dân cư", "Population database gateway", "BCA"),
    Gateway("gw-tai-chinh", "Cổng LGSP Bộ Tài chính", "LGSP gateway, Ministry of Finance", "BTC"),
    Gateway("gw-nnmt", "Cổng LGSP Bộ Nông nghiệp và Môi trường", "LGSP gateway, Agriculture and Environment", "BNNMT"),
    Gateway("gw-tu-phap", "Cổng LGSP Bộ Tư pháp", "LGSP gateway, Ministry of Justice", "BTP"),
    Gateway("gw-y-te", "Cổng LGSP Bộ Y tế", "LGSP gateway, Ministry of Health", "BYT"),
    Gateway("gw-noi-vu", "Cổng LGSP Bộ Nội vụ", "LGSP gateway, Ministry of Home Affairs", "BNV"),
    Gateway("gw-giao-duc", "Cổng LGSP Bộ Giáo dục và Đào tạo", "LGSP gateway, Education and Training", "BGDĐT"),
    Gateway("gw-xay-dung", "Cổng LGSP Bộ Xây dựng", "LGSP gateway, Ministry of Construction", "BXD"),
    Gateway("gw-khcn", "Cổng LGSP Bộ Khoa học và Công nghệ", "LGSP gateway, Science and Technology", "BKHCN"),
    Gateway("gw-ngan-hang", "Cổng LGSP Ngân hàng Nhà nước", "LGSP gateway, State Bank", "NHNN"),
    Gateway("gw-thanh-tra", "Cổng LGSP Thanh tra Chính phủ", "LGSP gateway, Government Inspectorate", "TTCP"),
)

ENDPOINTS = (
    Endpoint("ndxp-dan-cu", "NDXP: dịch vụ dân cư", "NDXP: population service", "BCA", NDXP_HOST, "xroad"),
    Endpoint("ndxp-doanh-nghiep", "NDXP: dịch vụ doanh nghiệp", "NDXP: business service", "BTC", NDXP_HOST, "xroad"),
    Endpoint("ndxp-bao-hiem", "NDXP: dịch vụ bảo hiểm", "NDXP: insurance service", "BTC", NDXP_HOST, "soap"),
    Endpoint("ndxp-ho-tich", "NDXP: dịch vụ hộ tịch", "NDXP: civil status service", "BTP", NDXP_HOST, "soap"),
    Endpoint("ndxp-dat-dai", "NDXP: dịch vụ đất đai", "NDXP: land service", "BNNMT", NDXP_HOST, "xroad"),
    Endpoint("ndxp-thue", "NDXP: dịch vụ thuế", "NDXP: tax service", "BTC", NDXP_HOST, "soap"),
    Endpoint(
        "ndxp-danh-muc", "NDXP: danh mục dùng chung", "NDXP: shared catalogue", "BKHCN", NDXP_HOST, "rest", tls=False
    ),
    Endpoint("ndop-dieu-phoi", "NDOP: điều phối dữ liệu", "NDOP: data orchestration", "BCA", "gw-ndop", "rest"),
    Endpoint(
        "ndop-tu-dien", "NDOP: từ điển dữ liệu dùng chung", "NDOP: shared data dictionary", "BCA", "gw-ndop", "rest"
    ),
    Endpoint("dvc-quoc-gia", "Cổng Dịch vụ công quốc gia", "National Public Service Portal", "BCA", "", "rest"),
    Endpoint("dinh-danh", "Định danh và xác thực điện tử", "Electronic identification", "BCA", "", "rest"),
    Endpoint("vneid", "VNeID", "VNeID", "BCA", "", "rest"),
    Endpoint("cong-du-lieu", "Cổng dữ liệu quốc gia", "National data portal", "BCA", "", "rest"),
    Endpoint(
        "lien-thong-van-ban", "Trục liên thông văn bản quốc gia", "National document exchange", "VPCP", "", "soap"
    ),
    Endpoint("cong-bao", "Công báo điện tử", "Electronic official gazette", "VPCP", "", "rest", tls=False),
    Endpoint("cong-phap-luat", "Cổng Pháp luật quốc gia", "National law portal", "BTP", "", "rest"),
    Endpoint("mot-cua-quoc-gia", "Cổng thông tin một cửa quốc gia", "National single window", "BTC", "", "soap"),
    Endpoint("dau-thau", "Mạng đấu thầu quốc gia", "National bidding network", "BTC", "", "rest"),
    Endpoint("hai-quan-so", "Hải quan số", "Digital customs", "BTC", "", "soap"),
    Endpoint("lien-ngan-hang", "Thanh toán liên ngân hàng", "Interbank payment", "NHNN", "", "soap"),
    Endpoint("so-suc-khoe", "Sổ sức khỏe điện tử", "Electronic health record", "BYT", "", "rest"),
    Endpoint("thu-cong-vu-1", "Thư điện tử công vụ, máy 1", "Official mail, server 1", "CBĐTW", "", "mail", tls=False),
    Endpoint("thu-cong-vu-2", "Thư điện tử công vụ, máy 2", "Official mail, server 2", "CBĐTW", "", "mail", tls=False),
    Endpoint(
        "dns-tslcd-1",
        "Máy chủ tên miền TSLCD 1",
        "Network name server 1",
        "CBĐTW",
        "",
        "dns",
        tls=False,
        median_s=0.002,
    ),
    Endpoint(
        "dns-tslcd-2",
        "Máy chủ tên miền TSLCD 2",
        "Network name server 2",
        "CBĐTW",
        "",
        "dns",
        tls=False,
        median_s=0.002,
    ),
)

GROUPS = {
    NDXP: ("Cổng NDXP", "NDXP gateways", "BKHCN", ("gw-ndxp-1", "gw-ndxp-2")),
    "dns-tslcd": ("Tên miền TSLCD", "Network name service", "CBĐTW", ("dns-tslcd-1", "dns-tslcd-2")),
    "thu-cong-vu": ("Thư điện tử công vụ", "Official mail", "CBĐTW", ("thu-cong-vu-1", "thu-cong-vu-2")),
}

WITH_TLS_CHECK = ("dvc-quoc-gia", "dinh-danh", "vneid", "cong-du-lieu", "mot-cua-quoc-gia", "lien-ngan-hang")
"""Endpoints whose certificate has a check of its own."""

DATABASES = (
    Database("DB002", "dan-cu", "gw-dan-cu", "postgresql", 1),
    Database("DB003", "dia-diem", "gw-dan-cu", "rest"),
    Database("DB004", "dinh-danh", "gw-dan-cu", "rest", 1),
    Database("DB005", "xuat-nhap-canh", "gw-dan-cu", "soap", 2),
    Database("DB070", "can-cuoc", "gw-dan-cu", "postgresql", 2),
    Database("DB001", "tong-hop", "gw-ndop", "postgresql", 1),
    Database("DB009", "doanh-nghiep", "gw-tai-chinh", "postgresql", 1),
    Database("DB010", "bao-hiem", "gw-tai-chinh", "soap", 1),
    Database("DB014", "tai-chinh", "gw-tai-chinh", "postgresql", 2),
    Database("DB047", "thue", "gw-tai-chinh", "rest", 2),
    Database("DB048", "hai-quan", "gw-tai-chinh", "soap"),
    Database("DB050", "dau-thau", "gw-tai-chinh", "rest"),
    Database("DB011", "dat-dai", "gw-nnmt", "postgresql", 1),
    Database("DB023", "nen-dia-ly", "gw-nnmt", "rest"),
    Database("DB034", "thien-tai", "gw-nnmt", "rest", 2),
    Database("DB036", "moi-truong", "gw-nnmt", "soap"),
    Database("DB096", "khi-tuong-thuy-van", "gw-nnmt", "postgresql", 2),
    Database("DB021", "ho-tich", "gw-tu-phap", "postgresql", 1),
    Database("DB006", "vi-pham-hanh-chinh", "gw-tu-phap", "rest"),
    Database("DB056", "phap-luat", "gw-tu-phap", "rest"),
    Database("DB061", "cong-chung", "gw-tu-phap", "soap"),
    Database("DB012", "y-te", "gw-y-te", "postgresql", 1),
    Database("DB028", "so-suc-khoe", "gw-y-te", "rest"),
    Database("DB030", "tiem-chung", "gw-y-te", "postgresql"),
    Database("DB015", "can-bo", "gw-noi-vu", "postgresql", 2),
    Database("DB018", "an-sinh-xa-hoi", "gw-noi-vu", "postgresql", 2),
    Database("DB024", "hop-dong-lao-dong", "gw-noi-vu", "rest"),
    Database("DB013", "giao-duc", "gw-giao-duc", "postgresql", 2),
    Database("DB117", "van-bang", "gw-giao-duc", "rest"),
    Database("DB017", "xay-dung", "gw-xay-dung", "rest"),
    Database("DB105", "nha-o", "gw-xay-dung", "postgresql"),
    Database("DB107", "dang-kiem", "gw-xay-dung", "soap"),
    Database("DB007", "tri-tue-nhan-tao", "gw-khcn", "rest"),
    Database("DB027", "khoa-hoc-cong-nghe", "gw-khcn", "postgresql"),
    Database("DB115", "vien-thong", "gw-khcn", "rest"),
    Database("DB022", "tin-dung", "gw-ngan-hang", "postgresql", 2),
    Database("DB065", "thanh-toan", "gw-ngan-hang", "soap", 2),
    Database("DB019", "tai-san-thu-nhap", "gw-thanh-tra", "postgresql", 2),
    Database("DB020", "thanh-tra", "gw-thanh-tra", "rest"),
    Database("DB016", "thu-tuc-hanh-chinh", NDXP, "rest", 2),
    Database("DB126", "ban-an", NDXP, "rest"),
    Database("DB127", "an-hinh-su", NDXP, "soap"),
    Database("DB128", "kiem-toan", NDXP, "rest"),
)
