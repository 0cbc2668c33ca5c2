"""Jobs that say that they ran, to a running monitor, across its restarts."""

import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.journey.product import Product, service, until

TOKEN = "dong-bo-dan-cu"


async def test_what_a_job_says_is_acted_upon_at_once_and_survives_a_restart(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        (product.config / "token").write_text(TOKEN)
        product.document["targets"][0]["checks"] = [
            {
                "probe": "heartbeat",
                "token": "${file:token}",
                "schedule": "1h",
                "interval": "60s",
                "confirm": {"down": 1, "up": 1},
            }
        ]
        product.write()
        assert (await product.cli("validate"))[0] == 0
        async with product.running("monitor"):
            await until(product.is_ready, "the monitor is ready")
            assert await _say(product, "another-job") == 404
            assert await _say(product, f"{TOKEN}/start?rid=1") == 200
            assert await _say(product, f"{TOKEN}/3?rid=1", "bắt đầu\nkhông kết nối được nguồn\n") == 200
            told = await until(lambda: served.told, "somebody is told")
            assert told[0]["reason"] == "heartbeat_failed"
            assert told[0]["message"].endswith("failed with exit code 3: không kết nối được nguồn")
        async with product.running("monitor"):
            await until(product.is_ready, "the monitor is ready")
            found = await _status(product)
            assert [target["reason"] for target in found["targets"]] == ["heartbeat_failed"]
            assert await _say(product, TOKEN) == 200
            await until(lambda: len(served.told) == 2, "the end is told too")
            assert served.told[1]["kind"] == "resolved"
        assert _files_with_token(tmp_path) == [product.config / "token"]


def _files_with_token(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


async def _say(product: Product, what: str, log: str = "") -> int:
    async with aiohttp.ClientSession() as client, client.post(f"{product.listen}/heartbeat/{what}", data=log) as answer:
        return answer.status


async def _status(product: Product) -> Any:
    return json.loads((await product.cli("status", "--json"))[1])
