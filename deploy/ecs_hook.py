"""A Lambda for an ECS lifecycle hook (POST_TEST_TRAFFIC_SHIFT, POST_PRODUCTION_TRAFFIC_SHIFT): hands ECS Serin's word.

`hookStatus` is SUCCEEDED, FAILED or IN_PROGRESS; ECS asks again after the last, every 30 s, until the hook's time is over.
A Serin that can't be reached is IN_PROGRESS: silence is neither success nor failure. SERIN_VERDICT_URL is
http://HOST:9464/api/v1/verdict/SERVICE.
"""

import json
import os
import urllib.error
import urllib.request


def handler(_event: object, _context: object) -> dict[str, str]:
    try:
        with urllib.request.urlopen(os.environ["SERIN_VERDICT_URL"], timeout=5) as answer:
            return {"hookStatus": json.load(answer)["hookStatus"]}
    except (urllib.error.URLError, TimeoutError, ValueError, KeyError) as error:
        print(f"Serin has no word: {error!r}")
        return {"hookStatus": "IN_PROGRESS"}
