"""Facts of a kind that may speak TLS over its stream."""

from __future__ import annotations

from typing import Any

from probes.tls import CERT_FACTS, PeerCertificate, peer_certificate


class StreamFacts(dict[str, Any]):
    """Facts; those of the certificate only when a condition asks: reading its names costs more than connecting.

    Attributes:
        certificate: what the peer showed, None where it showed none or none that can be read.

    """

    certificate: PeerCertificate | None = None

    def add_certificate(self, chain: list[bytes], found: dict[str, float]) -> None:
        """Take the peer's chain in, and put its expiry among the samples."""
        self.certificate = peer_certificate(chain) if chain else None
        if self.certificate is not None:
            found["cert_expires_s"] = self.certificate.expires_s

    def __missing__(self, name: str) -> Any:
        if self.certificate is None or name not in CERT_FACTS:
            raise KeyError(name)
        return self.certificate.fact(name)
